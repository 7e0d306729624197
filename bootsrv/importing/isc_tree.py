"""dhcpd.conf text -> statements: words up to a `;`, or words and a `{ ... }` block. Knows no word's meaning.

The law: any text gives statements or ImportFailed with the line, in time linear in its length; nesting is
bounded.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from bootsrv.importing.imported import ImportFailed

MAX_DEPTH = 50

_TOKEN = re.compile(
    r"""(?P<space>[^\S\n]+|\#[^\n]*) | (?P<line>\n) | (?P<string>"(?:\\.|[^"\\])*") | (?P<mark>[{};,=()])
      | (?P<word>[^\s{};,=()"\#]+)""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPE = re.compile(r"\\(?:x([0-9A-Fa-f]{1,2})|([0-7]{1,3})|(.))", re.DOTALL)
_NAMED = {"n": "\n", "t": "\t", "r": "\r", "b": "\b"}


@dataclass(frozen=True, slots=True)
class Token:
    """One word, quoted text (already without its quotes) or mark."""

    text: str
    line: int
    quoted: bool = False

    def is_mark(self, mark: str) -> bool:
        return self.text == mark and not self.quoted


@dataclass(frozen=True, slots=True)
class Statement:
    """`words ;` or `words { block }`. `words` may be empty for a stray block."""

    words: tuple[Token, ...]
    line: int
    block: tuple[Statement, ...] | None = None

    @property
    def keyword(self) -> str:
        """The first word in lower case (the language does not care), "" when there is none."""
        return self.words[0].text.lower() if self.words else ""

    def text(self, limit: int = 70) -> str:
        """The words as one line for a note."""
        line = " ".join(f'"{word.text}"' if word.quoted else word.text for word in self.words)
        line = line.replace(" ,", ",").replace("\n", " ")
        return line if len(line) <= limit else line[: limit - 3] + "..."


def parse(text: str, source: str) -> tuple[Statement, ...]:
    """All statements of a file. Raises ImportFailed."""
    tokens = _tokens(text, source)
    return _block(tokens, source, 0, 1)


def _tokens(text: str, source: str) -> Iterator[Token]:
    line, at = 1, 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:  # only a quote that is never closed
            raise ImportFailed(source, line, "a text in quotes is not closed")
        at = match.end()
        kind, found = match.lastgroup, match.group()
        if kind == "line":
            line += 1
        elif kind == "string":
            yield Token(_ESCAPE.sub(_unescape, found[1:-1]), line, quoted=True)
            line += found.count("\n")
        elif kind != "space":
            yield Token(found, line)


def _unescape(match: re.Match[str]) -> str:
    hexed, octal, letter = match.groups()
    if hexed or octal:
        return chr(int(hexed, 16) if hexed else int(octal, 8) & 0xFF)
    return _NAMED.get(letter, letter)


def _block(tokens: Iterator[Token], source: str, depth: int, opened: int) -> tuple[Statement, ...]:
    """Statements up to the `}` that closes this block, or to the end of the file at depth 0."""
    if depth > MAX_DEPTH:
        raise ImportFailed(source, opened, f"blocks are nested deeper than {MAX_DEPTH}")
    statements: list[Statement] = []
    words: list[Token] = []
    for token in tokens:
        if token.is_mark(";"):
            if words:
                statements.append(Statement(tuple(words), words[0].line))
            words = []
        elif token.is_mark("{") and _is_record(words):
            words += _record(token, tokens, source)
        elif token.is_mark("{"):
            first = words[0].line if words else token.line
            inner = _block(tokens, source, depth + 1, token.line)
            statements.append(Statement(tuple(words), first, inner))
            words = []
        elif token.is_mark("}"):
            if words:
                raise ImportFailed(source, words[0].line, f"{words[0].text!r} is not ended by a semicolon")
            if depth == 0:
                raise ImportFailed(source, token.line, "a closing brace too many")
            return tuple(statements)
        else:
            words.append(token)
    if words:
        raise ImportFailed(source, words[0].line, f"{words[0].text!r} is not ended by a semicolon")
    if depth:
        raise ImportFailed(source, opened, "this brace is never closed")
    return tuple(statements)


def _is_record(words: list[Token]) -> bool:
    """`option NAME code N = array of { ... };` has braces that are no block."""
    return bool(words) and words[0].text.lower() == "option" and any(word.is_mark("=") for word in words)


def _record(brace: Token, tokens: Iterator[Token], source: str) -> list[Token]:
    found = [brace]
    for token in tokens:
        found.append(token)
        if token.is_mark("}"):
            return found
        if token.is_mark(";"):
            break
    raise ImportFailed(source, brace.line, "this brace is never closed")
