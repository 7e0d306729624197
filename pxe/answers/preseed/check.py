"""Checks any preseed file against the questions that the release's installer really asks.

`debconf-set-selections -c` takes almost anything, so it is no gate. Here each line's question must exist,
with the type its template has, and an answer of that type. Lines are joined by a backslash at their end,
as debconf does it.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator

from pxe.answers.errors import Finding
from pxe.answers.preseed.questions import NEWEST, Question, has_own_list, question, questions
from pxe.answers.text import is_hash

_FREE = frozenset(("note", "text", "error", "seen"))
_KINDS = _FREE | {"boolean", "string", "password", "select", "multiselect"}
_LOADERS = "grub.pbkdf2."
_INSTALLER = frozenset(("d-i", "tasksel", "popularity-contest", "keyboard-configuration", "base-config"))


def check(text: str, release: int) -> list[Finding]:
    """What is wrong with the file, by line."""
    findings: list[Finding] = []
    met: dict[str, int] = {}
    for number, line in _lines(text):
        words = line.split(None, 3)
        if len(words) < 3:
            findings.append(Finding("must be: owner question type value", line=number))
            continue
        owner, name, kind = words[:3]
        value = words[3] if len(words) > 3 else ""
        if name in met:
            findings.append(Finding(f"{name} was answered on line {met[name]}", line=number, warning=True))
        met[name] = number
        findings += _answer(number, owner, name, kind, value, release)
    return findings


def _lines(text: str) -> Iterator[tuple[int, str]]:
    joined, start = "", 0
    for number, line in enumerate(text.split("\n"), 1):
        if not joined:
            if not line.strip() or line.lstrip().startswith("#"):
                continue
            start = number
        if line.endswith("\\"):
            joined += line[:-1] + " "
            continue
        yield start, joined + line
        joined = ""
    if joined:
        yield start, joined


def _answer(number: int, owner: str, name: str, kind: str, value: str, release: int) -> Iterator[Finding]:
    if kind not in _KINDS:
        yield Finding(f"{kind} is no type of debconf's", line=number)
        return
    if kind in _FREE:
        return
    known = question(name, release)
    if known is None:
        # Packages of the installed system ask questions of their own; those are not in the lists.
        foreign = owner not in _INSTALLER
        near = difflib.get_close_matches(name, questions(release), 1)
        hint = f"; is it {near[0]}?" if near else ""
        own = release if has_own_list(release) else NEWEST
        text = f"Debian {own}'s installer does not ask {name}{hint}"
        # Another release may ask what this list lacks, but hardly what differs from it by one letter.
        sure = own == release or bool(near and one_slip(name, near[0]))
        yield Finding(text, line=number, warning=foreign or not sure)
        return
    if kind != known.kind and {kind, known.kind} != {"string", "select"}:
        yield Finding(f"{name} is of the type {known.kind}, not {kind}", line=number)
    yield from _value(number, known, value)


def one_slip(typed: str, meant: str) -> bool:
    """Whether two texts differ as by a slip of the hand: one letter too many, too few or another, or two that
    have changed places."""
    start = 0
    while start < min(len(typed), len(meant)) and typed[start] == meant[start]:
        start += 1
    one, other = typed[start:], meant[start:]
    return typed != meant and (
        one[1:] == other or one == other[1:] or one[1:] == other[1:] or
        (one[:2] == other[:2][::-1] and one[2:] == other[2:])
    )


def _value(number: int, known: Question, value: str) -> Iterator[Finding]:
    if known.name.endswith("-crypted") and value and not is_hash(value) and not value.startswith(_LOADERS):
        yield Finding(f"{known.name} is a password's hash, and this is none", line=number)
    elif known.kind == "boolean" and value not in ("true", "false"):
        yield Finding(f"{known.name} is true or false, not {value or 'nothing'}", line=number)
    elif known.choices and known.kind in ("select", "multiselect") and value:
        parts = re.split(r",\s*", value) if known.kind == "multiselect" else [value]
        strange = [part for part in parts if part not in known.choices]
        if strange:
            choices = ", ".join(known.choices[:8])
            yield Finding(f"{known.name} has no choice {strange[0]}; there are {choices}", line=number)
