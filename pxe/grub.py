"""Writes configurations for GRUB, for machines that start it from the network instead of our iPXE: one with
Secure Boot starts shim and a signed GRUB. Pure.

The law of `pxe.ipxe`: no value breaks out of its place. GRUB has quoting: a word in single quotes is itself,
so a word that holds one is refused with ValueError, as is what is not printable ASCII.

Field facts: outside quotes `;`, `{`, `$`, `&`, `|`, `<` and `>` end a word or start another, which cuts
Ubuntu's `ds=nocloud;s=...` short; a file on a server is `(http,HOST:PORT)/PATH`; after a command that failed
GRUB goes on with the next line.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

FILE = "grub.cfg"
RETRY_SECONDS = 10
_URL = re.compile(r"http://([0-9a-zA-Z.-]+(?::[0-9]+)?)(/[!#-&(-\[\]-~]*)")
_PLAIN = re.compile(r"[\x20-\x7e]*")
_SPECIAL = frozenset(";${}&|<>\"\\#*")


def kernel(
    kernel_url: str, initrd_urls: Sequence[str], cmdline: str, note: str, retry_url: str | None, failure: str
) -> str:
    """Boot a kernel with RAM disks; after a failure, which `failure` names, `retry_url` is asked again, or
    for None the same is tried again by whoever reads this."""
    lines = [f"linux {_file(kernel_url)} {quoted(cmdline)}"]
    lines += [" ".join(["initrd", *map(_file, initrd_urls)])] if initrd_urls else []
    again = [f"configfile {_file(retry_url)}"] if retry_url else []
    tail = [*_echo(f"{failure}, trying again in {RETRY_SECONDS} s"), f"sleep {RETRY_SECONDS}", *again]
    return _text(note, [*lines, "boot", *tail])


def local(note: str = "", retry_url: str | None = None) -> str:
    """Leave GRUB: the firmware goes on with its next boot option. What comes of that nobody can try again."""
    return _text(note, ["exit"])


def message(text: str, retry_url: str, seconds: int = RETRY_SECONDS) -> str:
    """Show one line, wait, and ask `retry_url` for a new configuration."""
    return _text(text, [f"sleep {int(seconds)}", f"configfile {_file(retry_url)}"])


def handover(url: str) -> str:
    """For the `grub.cfg` that GRUB asks for beside itself: go on with the one at `url`."""
    failed = "this GRUB does not get there over HTTP; Debian 12's signed one has none"
    return _text("", [f"configfile {_file(url)}", *_echo(failed), "sleep 60", "exit"])


def quoted(line: str) -> str:
    """A kernel's command line as words of GRUB's `linux` command. Raises ValueError."""
    if not _PLAIN.fullmatch(line) or "'" in line:
        raise ValueError(f"not a kernel command line that GRUB can be given: {line!r}")
    return " ".join(f"'{word}'" if set(word) & _SPECIAL else word for word in line.split())


def _file(url: str) -> str:
    found = _URL.fullmatch(url)
    if found is None:
        raise ValueError(f"not a URL that GRUB can fetch: {url!r}")
    return f"'(http,{found[1]}){found[2]}'"


def _echo(text: str) -> list[str]:
    """A line for a person; what would be special becomes harmless, since it is only shown."""
    clean = re.sub(r"[^\x20-\x7e]|'", "?", text)
    return [f"echo 'bootsrv: {clean}'"] if clean.strip() else []


def _text(note: str, lines: list[str]) -> str:
    return "\n".join([*_echo(note), *lines, ""])
