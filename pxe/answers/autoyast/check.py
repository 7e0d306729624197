"""Checks any AutoYaST file: well-formed XML of the right name spaces, known sections by their elements.

SUSE's own schema comes in packages of SUSE's alone. The table is ours, from AutoYaST's reference; a section
that it does not have is only pointed out.
"""

from __future__ import annotations

import difflib
import re
from typing import Any
from xml.parsers import expat

from pxe.answers.autoyast.tables import SECTIONS, Table
from pxe.answers.autoyast.xml import CONFIG, SPACE
from pxe.answers.errors import Finding

_WORD = re.compile(r"\S+\Z")
_TYPES = {
    "boolean": re.compile(r"(true|false)\Z"), "integer": re.compile(r"-?\d+\Z"), "symbol": _WORD,
    "string": re.compile(""), "list": re.compile(r"\s*\Z"), "map": re.compile(r"\s*\Z"), "disksize": _WORD,
}  # fmt: skip
_NOT_SCALAR = ("list", "map")


class _Reader:
    """Follows the file with the table at hand; None in its stack: below what it does not know."""

    def __init__(self) -> None:
        self.findings: list[Finding] = []
        self._parser = expat.ParserCreate(namespace_separator=" ")
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._text
        self._parser.EntityDeclHandler = self._entity
        self._tables: list[Table | None] = []
        self._open: list[tuple[str, str | None, int]] = []
        self._said: list[str] = []

    def read(self, text: str) -> None:
        try:
            self._parser.Parse(text.encode(), True)
        except expat.ExpatError as error:
            self.findings.append(
                Finding(f"is no XML: {expat.errors.messages[error.code]}", line=error.lineno)
            )
        except _Stop as error:
            self._say(str(error))

    def _say(self, text: str, warning: bool = False) -> None:
        self.findings.append(Finding(text, line=self._parser.CurrentLineNumber, warning=warning))

    def _entity(self, *_: Any) -> None:
        raise _Stop("a profile must not define entities")

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        space, _, local = name.rpartition(" ")
        kind = attributes.get(f"{CONFIG} type") or attributes.get("t") or attributes.get("type")
        self._open.append((local, kind, self._parser.CurrentLineNumber))
        self._said.append("")
        if not self._tables:
            if local != "profile" or space != SPACE:
                raise _Stop(f'the file must be a <profile xmlns="{SPACE}">')
            self._tables.append(SECTIONS)
            return
        if kind is not None and kind not in _TYPES:
            self._say(f"{kind} is no type of YaST's")
        self._tables.append(self._below(local))

    def _below(self, local: str) -> Table | None:
        table = self._tables[-1]
        if table is None:
            return None
        if local in table:
            return table[local]
        near = difflib.get_close_matches(local, table, 1)
        hint = f"; is it {near[0]}?" if near else ""
        top = len(self._tables) == 1
        self._say(
            f"AutoYaST knows no {local} {'section' if top else 'in ' + self._open[-2][0]}{hint}",
            top and not near,
        )
        return None

    def _text(self, text: str) -> None:
        self._said[-1] += text

    def _end(self, name: str) -> None:
        local, kind, line = self._open.pop()
        said, table = self._said.pop(), self._tables.pop()
        if table == {} and kind in _NOT_SCALAR:
            self.findings.append(Finding(f"{local} is one value, not a {kind}", line=line))
        elif kind is not None and kind in _TYPES and not _TYPES[kind].match(said.strip()):
            self.findings.append(
                Finding(f"{local} is of the type {kind}, not {said.strip()[:40] or 'nothing'!r}", line=line)
            )
        elif table and said.strip():
            self.findings.append(Finding(f"{local} holds elements, not text", line=line))


class _Stop(Exception):
    """Nothing behind this can be judged."""


def check(text: str) -> list[Finding]:
    """What is wrong with the file, by line."""
    reader = _Reader()
    reader.read(text)
    return sorted(reader.findings, key=lambda finding: finding.line)
