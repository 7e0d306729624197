"""What an iPXE script makes a machine load. Pure; knows only the commands that load or boot."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urljoin

_WITH_VALUE = frozenset({"-n", "--name", "-t", "--timeout"})
_LOADS = frozenset({"kernel", "initrd", "module", "imgfetch"})
_LOCAL = frozenset({"sanboot", "exit"})


@dataclass(frozen=True, slots=True)
class Script:
    """`urls` in the order they are loaded; `local`: it boots the machine's own disk instead."""

    urls: tuple[str, ...]
    local: bool


def read(text: str, base: str) -> Script:
    """Read a script that was fetched from `base`. With neither URLs nor `local` it makes the machine wait."""
    urls: list[str] = []
    local = False
    for line in text.splitlines():
        words = line.split("||")[0].split()
        if not words:
            continue
        local = local or words[0] in _LOCAL
        if words[0] in _LOADS and (uri := _first_plain(words[1:])):
            urls.append(urljoin(base, uri))
    return Script(tuple(urls), local and not urls)


def _first_plain(words: list[str]) -> str:
    """The first word that is no option and no value of one; "" when iPXE would have to fill it in."""
    skip = False
    for word in words:
        if skip:
            skip = False
        elif word in _WITH_VALUE:
            skip = True
        elif not word.startswith("-"):
            return "" if "${" in word else word
    return ""
