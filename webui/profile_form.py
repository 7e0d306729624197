"""A profile as a form: from its text to fields, and back. Pure.

What the form has no field for stays as text (`rest`), so that nothing is lost by opening a profile in it. A
list of records is shown as rows only when every one of them fits; else it, too, stays as text.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from typing import Any

from bootsrv.answers.toml import as_toml
from pxe.answers.layers import joined
from webui.profile_fields import Field, Kind, Part, Rows, parts

PREFIX = "v."
PLAIN = "p."  # of the inputs where passwords are typed: they are hashed at once, and no values of the form
_INDEX = re.compile(r"\[(\d+)\]")
_COMMENT = re.compile(r"^\s*#", re.MULTILINE)


class ProfileForm:
    """Texts by the names of inputs. `rows`: which rows a list has, by their places in the form."""

    def __init__(self, values: Mapping[str, str], rest: str) -> None:
        self.values = dict(values)
        self.rest = rest
        self.errors: dict[str, str] = {}
        self.rows = {rows.path: self._places(rows.path) for rows in _all_rows()}

    @classmethod
    def of_text(cls, text: str) -> ProfileForm:
        """Raises tomllib.TOMLDecodeError."""
        left = _copy(tomllib.loads(text))
        found: dict[str, str] = {}
        for part in parts():
            for field in part.fields:
                _take_rows(left, field, found) if isinstance(field, Rows) else _take(left, field, "", found)
        return cls(found, as_toml(left) if left else "")

    @classmethod
    def of_request(cls, sent: Mapping[str, str]) -> ProfileForm:
        """What a browser sent."""
        values = {key.removeprefix(PREFIX): value.replace("\r\n", "\n") for key, value in sent.items()
                  if key.startswith(PREFIX)}  # fmt: skip
        return cls(values, sent.get("rest", "").replace("\r\n", "\n"))

    def text(self) -> str:
        """The profile's text. Raises tomllib.TOMLDecodeError for what was typed as text."""
        values: dict[str, Any] = {}
        for part in parts():
            for field in part.fields:
                if isinstance(field, Rows):
                    rows = [self._record(field, place) for place in self._filled(field)]
                    if rows:
                        _put(values, field.path, rows)
                else:
                    self._value(values, field, "")
        return as_toml(joined(values, tomllib.loads(self.rest)))

    def blame(self, field: str, reason: str) -> bool:
        """Put an error at its input; False where the form has none for it."""
        name = _INDEX.sub(r".\1", field)
        for rows in _all_rows():
            found = re.match(rf"{re.escape(rows.path)}\.(\d+)(.*)", name)
            filled = self._filled(rows)
            if found and int(found[1]) < len(filled):
                name = f"{rows.path}.{filled[int(found[1])]}{found[2]}"
        known = next((one for one in self._inputs() if one == name or one.startswith(f"{name}.")), None)
        if known is None:
            return False
        self.errors.setdefault(known, reason)
        return True

    def hashes(self) -> list[str]:
        """The inputs that hold the hash of a password."""
        return [name for name, field in self._fields() if field.kind is Kind.HASH]

    def add_row(self, path: str) -> None:
        """One more, empty."""
        self.rows[path].append(max(self.rows[path], default=-1) + 1)

    def said(self, part: Part) -> bool:
        """Whether anything is said, or wrong, under this heading."""
        keys = {key for key, value in self.values.items() if value} | set(self.errors)
        return any(key == one.path or key.startswith(f"{one.path}.") for one in part.fields for key in keys)

    def _inputs(self) -> Iterator[str]:
        yield from (name for name, _ in self._fields())

    def _fields(self) -> Iterator[tuple[str, Field]]:
        for part in parts():
            for field in part.fields:
                if isinstance(field, Field):
                    yield field.path, field
                else:
                    yield from ((f"{field.path}.{place}.{column.path}", column)
                                for place in self.rows[field.path] for column in field.columns)  # fmt: skip

    def _places(self, path: str) -> list[int]:
        found = (re.match(rf"{re.escape(path)}\.(\d+)\.", key) for key in self.values)
        return sorted({int(one[1]) for one in found if one})

    def _filled(self, rows: Rows) -> list[int]:
        def said(place: int) -> bool:
            return any(self.values.get(f"{rows.path}.{place}.{column.path}") for column in rows.columns)

        return [place for place in self.rows[rows.path] if said(place)]

    def _record(self, rows: Rows, place: int) -> dict[str, Any]:
        record: dict[str, Any] = {}
        for column in rows.columns:
            self._value(record, column, f"{rows.path}.{place}.")
        return record

    def _value(self, into: dict[str, Any], field: Field, before: str) -> None:
        text = self.values.get(before + field.path, "")
        text = text if field.kind is Kind.TEXT else text.strip()
        if text:
            _put(into, field.path, _typed(field, text))


def has_comments(text: str) -> bool:
    """Whether a text says something that the form would lose."""
    return bool(_COMMENT.search(text))


def _all_rows() -> Iterator[Rows]:
    return (field for part in parts() for field in part.fields if isinstance(field, Rows))


def _typed(field: Field, text: str) -> Any:
    if field.kind is Kind.WORDS:
        return text.replace(",", " ").split()
    if field.kind is Kind.LINES:
        return [line.strip() for line in text.splitlines() if line.strip()]
    if field.kind is Kind.COUNT:
        return int(text) if text.isascii() and text.isdigit() else text
    if field.kind in (Kind.FLAG, Kind.YES_NO):
        return text in ("yes", "on", "true")
    if field.kind is Kind.TABLE:
        pairs = (line.partition("=") for line in text.splitlines() if line.strip())
        return {name: value for name, _, value in pairs}
    if field.kind is Kind.TEXT and not text.endswith("\n"):
        return text + "\n"
    return text


def _shown(field: Field, value: Any) -> str | None:
    """The value as it is typed; None when the field could not give it back."""
    many = isinstance(value, list) and all(
        isinstance(one, str) and one.strip() == one and one for one in value
    )
    text: str | None = None
    if field.kind is Kind.WORDS and many and not any(re.search(r"[\s,]", one) for one in value):
        text = " ".join(value)
    elif field.kind is Kind.LINES and many:
        text = "\n".join(value)
    elif field.kind in (Kind.FLAG, Kind.YES_NO) and isinstance(value, bool):
        text = "yes" if value else "no" if field.kind is Kind.YES_NO else None
    elif field.kind is Kind.COUNT and isinstance(value, int) and not isinstance(value, bool):
        text = str(value)
    elif field.kind is Kind.TABLE and isinstance(value, dict):
        text = "\n".join(f"{name}={one}" for name, one in value.items())
    elif field.kind in (Kind.WORD, Kind.CHOICE, Kind.TEXT, Kind.HASH) and isinstance(value, str):
        text = value
    if text is None or _typed(field, text if field.kind is Kind.TEXT else text.strip()) != value:
        return None
    offered = {choice for choice, _ in field.choices}
    return None if field.kind is Kind.CHOICE and text not in offered else text


def _take(values: dict[str, Any], field: Field, before: str, found: dict[str, str]) -> bool:
    """Moves a value from the record to the form. False when it must stay."""
    value = _at(values, field.path)
    if value is None:
        return True
    text = _shown(field, value)
    if not text:
        return False
    found[before + field.path] = text
    _drop(values, field.path)
    return True


def _take_rows(values: dict[str, Any], rows: Rows, found: dict[str, str]) -> None:
    records = _at(values, rows.path)
    if not isinstance(records, list) or not all(isinstance(record, dict) for record in records or [None]):
        return  # an empty list, too, says something: that those of the layers below are not wanted
    shown: dict[str, str] = {}
    for place, record in enumerate(records):
        left, before = _copy(record), f"{rows.path}.{place}."
        fits = [_take(left, column, before, shown) for column in rows.columns]
        if not all(fits) or left or not any(key.startswith(before) for key in shown):
            return
    found.update(shown)
    _drop(values, rows.path)


def _at(values: Any, path: str) -> Any:
    for name in path.split("."):
        values = values.get(name) if isinstance(values, dict) else None
    return values


def _drop(values: dict[str, Any], path: str) -> None:
    """Takes a value out, and the tables that are empty by that; one that was empty before means something."""
    first, dot, rest = path.partition(".")
    if dot:
        _drop(values[first], rest)
    if not dot or not values[first]:
        del values[first]


def _put(values: dict[str, Any], path: str, value: Any) -> None:
    *outer, last = path.split(".")
    for name in outer:
        values = values.setdefault(name, {})
    values[last] = value


def _copy(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _copy(one) for name, one in value.items()}
    return [_copy(one) for one in value] if isinstance(value, list) else value
