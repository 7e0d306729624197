"""The form of a directive: which option is which field of which record, and since when; read both ways.

One table per directive serves the renderer and the importer, so that what one writes the other reads.
Anaconda takes `--option=value` and `--option value`; we write the first.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any

from pxe.answers.errors import Finding
from pxe.answers.kickstart.age import ALWAYS, Age
from pxe.answers.targets import Target
from pxe.answers.text import Section


class Kind(Enum):
    """How an option carries its value."""

    FLAG = "flag"
    TEXT = "text"
    NUMBER = "number"
    LIST = "list"  # separated by commas
    YES_NO = "yes/no"
    EACH = "each"  # the option is repeated
    PRESENCE = "presence"  # a flag that says that a nested record is there
    MARK = "mark"  # a flag that goes with another option's value, such as --iscrypted


@dataclass(frozen=True, slots=True)
class Option:
    """One option. `field` may be dotted, for a nested record. `also`: other spellings that are understood.
    `value`: for a FLAG, what the field becomes. `when`: which values it is written for."""

    name: str
    field: str
    kind: Kind = Kind.TEXT
    age: Age = ALWAYS
    also: tuple[str, ...] = ()
    value: Any = True
    when: Callable[[Any], bool] | None = None

    def words(self, value: Any) -> Iterator[str]:
        """The option's words for a field's value that is not the default."""
        if self.when is not None and not self.when(value):
            return
        if self.kind in (Kind.PRESENCE, Kind.MARK) or (self.kind is Kind.FLAG and value == self.value):
            yield self.name
        elif self.kind is Kind.FLAG:
            return
        elif self.kind is Kind.YES_NO:
            yield f"{self.name}={'yes' if value else 'no'}"
        elif self.kind is Kind.EACH:
            yield from (f"{self.name}={one}" for one in value)
        else:
            text = ",".join(value) if self.kind is Kind.LIST else str(value)
            yield f"{self.name}={text}"

    def parse(self, text: str) -> Any:
        """The field's value. Raises ValueError."""
        if self.kind is Kind.NUMBER:
            return int(text)
        if self.kind is Kind.YES_NO:
            return _yes(text)
        if self.kind in (Kind.LIST, Kind.EACH):
            return tuple(part.strip() for part in text.split(",") if part.strip())
        return text


def _yes(text: str) -> bool:
    if text.lower() in ("yes", "on", "true", "1"):
        return True
    if text.lower() in ("no", "off", "false", "0"):
        return False
    raise ValueError(f"{text!r} is neither yes nor no")


class Strange(Exception):
    """A directive that the form does not hold; the file's line stays as it is."""


@dataclass(frozen=True)
class Form:
    """One directive. `positional`: the fields of its bare words, the last ones present; with `many` the first
    ones, and the last of them takes the rest."""

    command: str
    record: type[Section]
    options: tuple[Option, ...] = ()
    positional: tuple[str, ...] = ()
    many: bool = False
    age: Age = ALWAYS
    apart: tuple[str, ...] = ()  # fields that are said by other directives

    def line(self, record: Section, target: Target, where: str, say: Callable[[Finding], None]) -> str:
        """The directive as a line; what the target does not know is said, with its field."""
        first = self.positional[:-1] if self.many else self.positional
        bare = [getattr(record, field) for field in first]
        words = [self.command, *(str(value) for value in bare if value is not None)]
        refusal = self.age.refusal(self.command, target)
        if refusal:
            say(Finding(refusal, where))
        for option in self.options:
            value = _value(record, option.field)
            says_no = option.kind is Kind.YES_NO or option.value is False
            if value in (None, ()) or (value is False and not says_no):
                continue
            new = list(option.words(value))
            refusal = option.age.refusal(f"{self.command} {option.name}", target) if new else None
            if refusal:
                say(Finding(refusal, f"{where}.{option.field}"))
            words += new
        for field in self._unknown(record):
            say(Finding(f"{self.command} has no option for this", f"{where}.{field}"))
        words += getattr(record, self.positional[-1]) if self.many else ()
        return " ".join(map(quote, words))

    def _unknown(self, record: Section) -> Iterator[str]:
        """Fields with a value that the directive cannot say."""
        known = {*self.positional, *self.apart, *(option.field.partition(".")[0] for option in self.options)}
        for field in record.__struct_fields__:
            if field not in known and getattr(record, field) not in (None, (), False):
                yield field

    def read(self, words: tuple[str, ...]) -> dict[str, Any]:
        """The fields that the words after the directive's name give. Raises Strange."""
        values: dict[str, Any] = {}
        bare: list[str] = []
        rest = iter(words)
        for word in rest:
            if word.startswith("--"):
                self._option(word, rest, values)
            else:
                bare.append(word)
        self._bare(bare, values)
        for option in self.options:
            if option.kind is Kind.PRESENCE and option.field in values and option.name not in words:
                raise Strange(f"{self.command}: what belongs to {option.name}, without it")
        return values

    def _option(self, word: str, rest: Iterator[str], values: dict[str, Any]) -> None:
        name, equals, text = word.partition("=")
        option = next((one for one in self.options if name == one.name or name in one.also), None)
        if option is None:
            raise Strange(f"{self.command} {name}")
        if option.kind in (Kind.FLAG, Kind.PRESENCE, Kind.MARK):
            if equals:
                raise Strange(f"{self.command} {name} with a value")
            self._flag(option, values)
            return
        if not equals:
            text = next(rest, "")
        try:
            value = option.parse(text)
        except ValueError as error:
            raise Strange(f"{self.command} {name}: {error}") from error
        holder, field = _holder(values, option.field)
        if field in holder and option.kind is not Kind.EACH:
            raise Strange(f"{self.command} {name} twice")
        holder[field] = (*holder.get(field, ()), *value) if option.kind is Kind.EACH else value

    def _flag(self, option: Option, values: dict[str, Any]) -> None:
        if option.kind is Kind.MARK:
            values[option.name] = True  # for whoever reads the record: the value is of this kind
        elif option.kind is Kind.PRESENCE:
            values.setdefault(option.field, {})
        elif values.get(option.field, option.value) != option.value:
            raise Strange(f"{self.command} {option.name} against another option")
        else:
            values[option.field] = option.value

    def _bare(self, bare: list[str], values: dict[str, Any]) -> None:
        fields = self.positional
        if self.many:
            for place, field in enumerate(fields[:-1]):
                if place < len(bare):
                    values[field] = bare[place]
            values[fields[-1]] = tuple(bare[len(fields) - 1 :])
        elif len(bare) > len(fields):
            raise Strange(f"{self.command} {bare[-1]}")
        elif bare:
            given = dict(zip(fields[-len(bare) :], bare, strict=True))
            if both := given.keys() & values.keys():
                raise Strange(f"{self.command}: {', '.join(both)} twice")
            values.update(given)


def _value(record: Section, path: str) -> Any:
    value: Any = record
    for name in path.split("."):
        value = None if value is None else getattr(value, name)
    return value


def _holder(values: dict[str, Any], path: str) -> tuple[dict[str, Any], str]:
    *outer, field = path.split(".")
    for name in outer:
        values = values.setdefault(name, {})
    return values, field


def quote(word: str) -> str:
    """A word as the shell and Anaconda's shlex read it back. An option keeps its name bare: --a='b c'."""
    name, equals, value = word.partition("=")
    if equals and name.startswith("--") and shlex.quote(name) == name:
        return f"{name}={shlex.quote(value) if value else ''}"
    return shlex.quote(word)
