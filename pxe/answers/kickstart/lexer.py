"""A kickstart file as statements and sections, in order; nothing is lost and nothing is interpreted.

Two syntaxes: today's, where `%end` ends a section, and that before Fedora 8 and RHEL 6, where the next
section or the end of the file does. Words are split as Anaconda splits them: shell quoting, `#` comments.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field

from pxe.errors import SettingError

SECTIONS = frozenset(
    (
        "%packages",
        "%pre",
        "%pre-install",
        "%post",
        "%onerror",
        "%traceback",
        "%addon",
        "%anaconda",
        "%certificate",
    )
)


@dataclass(frozen=True, slots=True)
class Statement:
    """One line outside of sections. `words` is empty for blank lines, comments and %include."""

    line: int
    text: str
    words: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Block:
    """One section: its header's words, and its lines as they are."""

    line: int
    name: str
    words: tuple[str, ...]
    body: tuple[str, ...]
    header: str
    ended: bool


@dataclass(slots=True)
class Document:
    """A whole file."""

    statements: list[Statement] = field(default_factory=list)
    blocks: list[Block] = field(default_factory=list)


def read(text: str) -> Document:
    """Split a file. Raises SettingError (key `line N`) for quotes that do not close and %end without a
    section."""
    document = Document()
    lines = text.replace("\r\n", "\n").split("\n")
    if lines and not lines[-1]:
        lines.pop()
    ends = any(line.strip() == "%end" for line in lines)
    place = 0
    while place < len(lines):
        name = lines[place].split(None, 1)[0] if lines[place].strip() else ""
        if name in SECTIONS:
            place = _block(document, lines, place, ends)
            continue
        if name == "%end":
            raise SettingError(f"line {place + 1}", "%end without a section before it")
        document.statements.append(_statement(place + 1, lines[place]))
        place += 1
    return document


def _statement(number: int, text: str) -> Statement:
    if text.lstrip().startswith("%"):
        return Statement(number, text)
    return Statement(number, text, tuple(_split(number, text)))


def _split(number: int, text: str) -> list[str]:
    try:
        return shlex.split(text, comments=True)
    except ValueError as error:
        raise SettingError(f"line {number}", f"{error}: {text.strip()[:60]}") from error


def _block(document: Document, lines: list[str], start: int, ends: bool) -> int:
    words = _split(start + 1, lines[start])
    place, body, ended = start + 1, [], False
    while place < len(lines):
        first = lines[place].split(None, 1)[0] if lines[place].strip() else ""
        if first == "%end":
            ended = True
            place += 1
            break
        # In a file with %end, a section's name inside a script is the script's own text.
        if first in SECTIONS and (not ends or not lines[place].startswith((" ", "\t"))):
            break
        body.append(lines[place])
        place += 1
    document.blocks.append(
        Block(start + 1, words[0], tuple(words[1:]), tuple(body), lines[start], ended)
    )
    return place
