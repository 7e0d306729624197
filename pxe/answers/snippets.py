"""The library of ready scripts: what most sites do after an install, each with its variables.

A snippet is a shell file. Its head says which variables it `needs` and which it `takes` with a default; they
arrive as quoted assignments before its text, so that no value can become a command.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from pxe.errors import SettingError

_HERE = Path(__file__).parent / "snippets"
_NAME = re.compile(r"[a-z][a-z0-9-]*\Z")


@dataclass(frozen=True, slots=True)
class Snippet:
    """One script. `needs`: variables that must be given; `takes`: the others, with their defaults."""

    name: str
    summary: str
    needs: tuple[str, ...]
    takes: Mapping[str, str]
    text: str

    def script(self, values: Mapping[str, str]) -> str:
        """The script with its variables set. Raises SettingError naming a variable."""
        for name in values:
            if name not in self.needs and name not in self.takes:
                known = ", ".join((*self.needs, *self.takes)) or "none"
                raise SettingError(name, f"the snippet {self.name} has no such variable; it has {known}")
        for name in self.needs:
            if not values.get(name):
                raise SettingError(name, f"the snippet {self.name} needs it")
        given = {**self.takes, **values}
        lines = [f"{name}={shlex.quote(given[name])}" for name in (*self.needs, *self.takes)]
        return "\n".join([*lines, self.text])


@cache
def snippets() -> Mapping[str, Snippet]:
    """All of the library, by name."""
    return {file.stem: _read(file) for file in sorted(_HERE.glob("*.sh"))}


def find_snippet(name: str) -> Snippet:
    """One by its name. Raises SettingError with the names there are."""
    found = snippets().get(name) if _NAME.match(name) else None
    if found is None:
        raise SettingError("snippet", f"there is no {name!r}; there are {', '.join(snippets())}")
    return found


def _read(file: Path) -> Snippet:
    summary = ""
    needs: tuple[str, ...] = ()
    takes: dict[str, str] = {}
    body: list[str] = []
    for line in file.read_text().splitlines():
        if line.startswith("# needs: "):
            needs = tuple(line[9:].split())
        elif line.startswith("# takes: "):
            takes = dict(pair.split("=", 1) for pair in line[9:].split())
        elif line.startswith("# ") and not summary:
            summary = line[2:]
        else:
            body.append(line)
    return Snippet(file.stem, summary, needs, takes, "\n".join(body) + "\n")
