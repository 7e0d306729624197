"""The sections of a kickstart file as records: %packages and the scripts."""

from __future__ import annotations

import re

import msgspec

from pxe.answers.kickstart.form import Strange
from pxe.answers.kickstart.lexer import Block
from pxe.answers.profile import Packages, Step, When

_WHEN = {"%pre": When.PRE, "%pre-install": When.PRE_INSTALL, "%post": When.POST, "%onerror": When.ERROR}
_NAME = re.compile(r"[A-Za-z0-9_*?\[]\S*\Z")


def packages_of(block: Block) -> Packages:
    """The package list. Raises Strange for a line that has no place in the record (it would be lost)."""
    groups: list[str] = []
    names: list[str] = []
    no_groups: list[str] = []
    no_names: list[str] = []
    environment: str | None = None
    every = False
    for line in block.body:
        word = line.partition("#")[0].strip()
        if not word:
            if line.strip():
                raise Strange(f"a comment in %packages: {line.strip()[:40]}")
            continue
        if "#" in line:
            raise Strange(f"a comment in %packages: {line.strip()[:40]}")
        if word == "*":
            every = True
        elif word.startswith("@^") and environment is None:
            environment = word[2:].strip()
        elif word.startswith("@"):
            groups.append(word[1:].strip())
        elif word.startswith("-@"):
            no_groups.append(word[2:].strip())
        elif word.startswith("-"):
            no_names.append(word[1:].strip())
        elif _NAME.match(word):
            names.append(word)
        else:
            raise Strange(f"%packages: {word[:40]}")
    record = Packages(environment=environment, groups=tuple(groups), names=tuple(names),
                      without_groups=tuple(no_groups), without=tuple(no_names), options=block.words,
                      all=every)  # fmt: skip
    return msgspec.convert(msgspec.to_builtins(record), Packages)


def script_of(block: Block) -> Step | None:
    """The script; None when the section is no script. Raises Strange for options without a field."""
    when = _WHEN.get(block.name)
    if when is None:
        return None
    values: dict[str, object] = {"when": when.value}
    rest = iter(block.words)
    for word in rest:
        name, equals, value = word.partition("=")
        if name == "--nochroot" and not equals:
            values["outside"] = True
        elif name == "--erroronfail" and not equals:
            values["stop_on_error"] = True
        elif name == "--interpreter":
            values["interpreter"] = value if equals else next(rest, "")
        elif name in ("--log", "--logfile"):
            values["log"] = value if equals else next(rest, "")
        else:
            raise Strange(f"{block.name} {word}")
    values["text"] = "".join(f"{line}\n" for line in block.body)
    return msgspec.convert(values, Step)
