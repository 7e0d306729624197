"""JSON as Kea writes it -> values that know their line. RFC 8259 with `//`, `#` and `/* */` comments, a comma
too many at the end of a list, and `<?include "FILE"?>`.

The law: any text gives a Value or ImportFailed with the line, in time linear in its length; nesting is
bounded. Of a repeated name the last counts, and `repeated` says so.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any, NoReturn

from bootsrv.importing.imported import ImportFailed
from bootsrv.importing.values import BadWord

MAX_DEPTH = 50

_BLANK = re.compile(r"(?:\s+|//[^\n]*|\#[^\n]*|/\*.*?\*/)+", re.DOTALL)
_STRING = re.compile(r'"(?:[^"\\\x00-\x1f]|\\.)*"')
_ATOM = re.compile(r"[A-Za-z0-9.+-]+")
_INCLUDE = re.compile(r'<\?\s*include\s+"([^"\n]*)"\s*\?>')
_NUMBER = re.compile(r"-?[0-9]{1,18}(\.[0-9]{1,18})?\Z")
_ATOMS: dict[str, Any] = {"true": True, "false": False, "null": None}


@dataclass(frozen=True, slots=True)
class Include:
    """Another file is named here."""

    path: str


@dataclass(frozen=True, slots=True)
class Value:
    """One value and the line it begins on. `it`: dict of Values, list of Values, or plain."""

    line: int
    it: Any
    repeated: tuple[str, ...] = field(default=())


def parse(text: str, source: str) -> Value:
    """The one value of a text. Raises ImportFailed."""
    return _Parser(text, source).whole()


class _Parser:
    def __init__(self, text: str, source: str) -> None:
        self._text = text
        self._source = source
        self._at = 0
        self._line = 1

    def whole(self) -> Value:
        value = self._value(0)
        self._skip()
        if self._at < len(self._text):
            self._fail("something follows the end of the configuration")
        return value

    def _fail(self, reason: str) -> NoReturn:
        raise ImportFailed(self._source, self._line, reason)

    def _take(self, pattern: re.Pattern[str]) -> str | None:
        match = pattern.match(self._text, self._at)
        if match is None:
            return None
        self._at = match.end()
        self._line += match.group().count("\n")
        return match.group()

    def _skip(self) -> None:
        self._take(_BLANK)
        if self._text.startswith("/*", self._at):
            self._fail("a comment is not closed")

    def _next(self) -> str:
        self._skip()
        return self._text[self._at : self._at + 1]

    def _value(self, depth: int) -> Value:
        if depth > MAX_DEPTH:
            self._fail(f"nested deeper than {MAX_DEPTH}")
        letter = self._next()
        line = self._line
        if letter == "{":
            return self._object(depth)
        if letter == "[":
            return self._list(depth)
        if letter == '"':
            return Value(line, self._string())
        if letter == "<":
            return Value(line, self._include())
        word = self._take(_ATOM)
        if word is None:
            self._fail(f"a value is missing before {letter!r}" if letter else "the file ends too early")
        if word in _ATOMS:
            return Value(line, _ATOMS[word])
        if not _NUMBER.match(word):
            self._fail(f"{word[:40]!r} is no value; texts need quotes")
        return Value(line, float(word) if "." in word else int(word))

    def _include(self) -> Include:
        match = _INCLUDE.match(self._text, self._at)
        if match is None:
            self._fail("'<' begins no value")
        self._at = match.end()
        return Include(match[1])

    def _string(self) -> str:
        raw = self._take(_STRING)
        if raw is None:
            self._fail("a text in quotes is not closed")
        try:
            return str(json.loads(raw))
        except json.JSONDecodeError:
            self._fail(f"{raw[:40]} has a bad escape")

    def _object(self, depth: int) -> Value:
        line, members, repeated = self._line, {}, []
        self._at += 1
        while (letter := self._next()) != "}":
            if letter == "<":
                members[f"<?include {self._line}?>"] = Value(self._line, self._include())
            elif letter != '"':
                self._fail('expected "NAME": or the closing brace' if letter else "a brace is never closed")
            else:
                name = self._string()
                if self._next() != ":":
                    self._fail(f"no colon after {name[:40]!r}")
                self._at += 1
                if name in members:
                    repeated.append(name)
                members[name] = self._value(depth + 1)
            self._comma("}", "brace")
        self._at += 1
        return Value(line, members, tuple(repeated))

    def _list(self, depth: int) -> Value:
        line, items = self._line, []
        self._at += 1
        while self._next() != "]":
            items.append(self._value(depth + 1))
            self._comma("]", "bracket")
        self._at += 1
        return Value(line, items)

    def _comma(self, end: str, what: str) -> None:
        letter = self._next()
        if letter == ",":
            self._at += 1
        elif letter != end:
            self._fail("a comma is missing" if letter else f"a {what} is never closed")


def need(value: Value, name: str) -> Value:
    """A member that must be there. Raises BadWord, like all of these."""
    found = object_of(value).get(name)
    if found is None:
        raise BadWord(f"{name} is missing")
    return found


def object_of(value: Value) -> dict[str, Value]:
    """The members of an object."""
    if not isinstance(value.it, dict):
        raise BadWord("not an object in braces")
    return value.it


def list_of(value: Value) -> list[Value]:
    """The items of a list."""
    if not isinstance(value.it, list):
        raise BadWord("not a list in brackets")
    return value.it


def text_of(value: Value) -> str:
    """A text."""
    if not isinstance(value.it, str):
        raise BadWord("not a text in quotes")
    return value.it


def integer_of(value: Value) -> int:
    """A whole number."""
    if isinstance(value.it, bool) or not isinstance(value.it, int):
        raise BadWord("not a whole number")
    return value.it
