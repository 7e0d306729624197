"""Reads any kickstart file into a profile; what the model does not hold stays raw, in place, reported.

The law: nothing is lost. Rendered again for a target that knows its directives, the file says the same.
Plain passwords never enter a profile, not even in a line that stays raw: hashers make their hash, or they are
handed out beside the profile, by the name that the profile refers to; a note says that it happened.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import msgspec

from pxe.answers.errors import Finding
from pxe.answers.kickstart import lexer
from pxe.answers.kickstart.clear import Clear, Hasher
from pxe.answers.kickstart.fields import Fields
from pxe.answers.kickstart.form import Strange
from pxe.answers.kickstart.sections import packages_of, script_of
from pxe.answers.profile import Profile, Raw, profile_from

BOM = "\ufeff"  # Anaconda takes it for a part of the first word


@dataclass(slots=True)
class Imported:
    """What came of a file. `notes` say what was not understood and what was changed, with line numbers."""

    profile: Profile
    notes: list[Finding] = field(default_factory=list)
    secrets: dict[str, str] = field(default_factory=dict)


def read_kickstart(
    text: str, hasher: Hasher, target: str = "", loader_hasher: Hasher | None = None
) -> Imported:
    """A profile from a file's text. `loader_hasher`: for passwords of boot loaders, where those are not as
    accounts'. Raises SettingError for a file that has no structure at all."""
    notes: list[Finding] = []
    if text.startswith(BOM):
        notes.append(Finding("the byte order mark in front was taken away", line=1, warning=True))
    document = lexer.read(text.removeprefix(BOM))
    clear = Clear(hasher, loader_hasher or hasher, notes.append)
    fields = Fields(clear)
    raw: list[Raw] = []
    order: list[str] = []
    waiting: list[str] = []
    for statement in document.statements:
        kept = _take(fields, clear, statement, notes)
        if kept is None:
            waiting.append(_kept(clear, statement))
            continue
        if waiting:
            raw.append(Raw(lines=tuple(waiting), after=len(order)))
            waiting = []
        order.append(kept)
    while waiting and not waiting[-1].strip():
        waiting.pop()
    if waiting:
        raw.append(Raw(lines=tuple(waiting), after=len(order)))
    sections = _sections(document, raw, notes)
    values = {**fields.values(), **sections, "target": target} if target else {**fields.values(), **sections}
    values["order"] = tuple(order)
    profile = msgspec.structs.replace(profile_from(values), raw=tuple(raw))
    return Imported(profile, notes, clear.secrets)


def _take(
    fields: Fields, clear: Clear, statement: lexer.Statement, notes: list[Finding]
) -> str | None:
    """The directive's name when the model holds it; None: the line stays raw."""
    if not statement.words:
        if statement.text.lstrip().startswith("%"):
            notes.append(Finding(f"kept as it is: {statement.text.strip()[:60]}", line=statement.line))
        return None
    try:
        return fields.take(statement.words, statement.line)
    except (Strange, msgspec.ValidationError) as error:
        what = str(error) if not clear.has(statement.words) else f"{statement.words[0]}, but for its password"
        notes.append(Finding(f"kept as it is: {what}", line=statement.line))
        return None


def _kept(clear: Clear, statement: lexer.Statement) -> str:
    """The line as the profile keeps it."""
    hidden = clear.line(statement.words, statement.line) if statement.words else None
    return hidden if hidden is not None else statement.text


def _sections(document: lexer.Document, raw: list[Raw], notes: list[Finding]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    scripts: list[Any] = []
    for block in document.blocks:
        try:
            if block.name == "%packages" and "packages" not in values:
                values["packages"] = packages_of(block)
                continue
            script = script_of(block)
            if script is not None:
                scripts.append(script)
                continue
        except (Strange, msgspec.ValidationError) as error:
            notes.append(Finding(f"kept as it is: {error}", line=block.line))
        else:
            notes.append(Finding(f"kept as it is: {block.header.strip()[:60]}", line=block.line))
        lines = (block.header, *block.body, *(["%end"] if block.ended else []))
        raw.append(Raw(lines=lines, section=True))
    values.setdefault("packages", {"none": True})
    return {**values, "scripts": scripts}
