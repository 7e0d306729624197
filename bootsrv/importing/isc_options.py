"""The values of ISC's `option NAME VALUE` statements, and options that a file defines itself.

dhcp-options(5), "DEFINING NEW OPTIONS". The law: a value comes out as the engine takes it, or BadWord says
why not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from bootsrv.importing import values
from bootsrv.importing.imported import Resolve
from bootsrv.importing.isc_tree import Token
from bootsrv.importing.values import BadWord

_FLAGS = {"true": 1, "on": 1, "yes": 1, "false": 0, "off": 0, "no": 0}


@dataclass(frozen=True, slots=True)
class Defined:
    """An option that the file defines: its number, and the words of its type (`array of ip-address`)."""

    code: int
    type: tuple[str, ...]


def define(words: Sequence[Token]) -> tuple[str, Defined]:
    """`option NAME code N = TYPE` to name and definition. Raises BadWord for records and option spaces."""
    texts = [word.text.lower() for word in words]
    if len(texts) < 6 or texts[2] != "code" or texts[4] != "=":
        raise BadWord("not a definition such as: option NAME code 150 = ip-address")
    kind = tuple(texts[5:])
    if kind[0] == "encapsulate" or "{" in kind or "." in texts[1]:
        raise BadWord("records and option spaces are not taken over")
    code = values.number(texts[3])
    if not 0 < code < 255:
        raise BadWord(f"{code} is not an option's number")
    return texts[1], Defined(code, kind)


def value(
    name: str, words: Sequence[Token], defined: Defined | None, resolve: Resolve, looked_up: list[str]
) -> tuple[str, Any]:
    """(our name, canonical value) of an option. Names looked up on the way are added to `looked_up`."""
    if not words or any(word.is_mark(mark) for word in words for mark in ("(", "=", "{")):
        raise BadWord("an expression, not a plain value" if words else "no value")
    words = [word for word in words if not word.is_mark(",")]
    if defined is not None:
        data = encode(defined.type, words, resolve, looked_up)
        return values.option_from_bytes(defined.code, data)
    code = values.code_of(name)
    if code is None:
        raise BadWord("no such DHCP option")
    if code in values.HEX_CODES or values.name_of(code).startswith("option-"):
        return values.option_from_bytes(code, b"".join(_bytes(word) for word in words))
    if code in values.ROUTE_CODES and all(word.text.isascii() and word.text.isdigit() for word in words):
        return values.option_from_bytes(code, b"".join(_integer(word, 1) for word in words))
    texts = [word.text for word in words]
    plain: Any = texts[0] if len(texts) == 1 else texts
    try:
        return values.option(values.name_of(code), plain)
    except BadWord:
        if not any(not word.quoted and values.is_host_name(word.text) for word in words):
            raise
        return values.option(
            values.name_of(code), [str(_address(word, resolve, looked_up)) for word in words]
        )


def encode(kind: tuple[str, ...], words: Sequence[Token], resolve: Resolve, looked_up: list[str]) -> bytes:
    """Bytes of a value of a type that the file declared."""
    array = kind[:2] == ("array", "of")
    kind = kind[2:] if array else kind
    if not array and len(words) != 1:
        raise BadWord(f"{len(words)} values where one {' '.join(kind)} is wanted")
    encoder = _encoder(kind, resolve, looked_up)
    return b"".join(encoder(word) for word in words)


def _encoder(kind: tuple[str, ...], resolve: Resolve, looked_up: list[str]) -> Callable[[Token], bytes]:
    if kind == ("ip-address",):
        return lambda word: values.address(_address(word, resolve, looked_up)).packed
    if kind in (("text",), ("string",)):
        return _bytes
    if kind == ("boolean",):
        return _flag
    if kind[-1:] in (("8",), ("16",), ("32",)) and kind[-2:-1] == ("integer",) and len(kind) <= 3:
        return lambda word: _integer(word, int(kind[-1]) // 8)
    raise BadWord(f"the type {' '.join(kind)!r} is not taken over")


def _address(word: Token, resolve: Resolve, looked_up: list[str]) -> str:
    """An address as text; a name is looked up."""
    if not values.is_host_name(word.text):
        return str(values.address(word.text))
    found = resolve(word.text)
    if found is None:
        raise BadWord(f"{word.text!r} cannot be looked up; write its address")
    looked_up.append(f"{word.text} was looked up: {found}")
    return str(found)


def _bytes(word: Token) -> bytes:
    """Text in quotes as it is (ISC has no encoding: `\\x` makes one byte), a bare word as hex."""
    if word.quoted:
        try:
            return word.text.encode("latin-1")
        except UnicodeEncodeError:
            return word.text.encode("utf-8", "replace")
    return bytes.fromhex(values.hex_of(word.text).replace(":", ""))


def _flag(word: Token) -> bytes:
    if word.text.lower() not in _FLAGS:
        raise BadWord(f"{word.text!r} is neither true nor false")
    return bytes((_FLAGS[word.text.lower()],))


def _integer(word: Token, size: int) -> bytes:
    wanted = values.number(word.text)
    if not -(1 << (8 * size - 1)) <= wanted < 1 << (8 * size):
        raise BadWord(f"{wanted} does not fit in {size} bytes")
    return (wanted % (1 << (8 * size))).to_bytes(size, "big")
