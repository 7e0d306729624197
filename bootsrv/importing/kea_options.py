"""Values of Kea's `option-data`, and options that a file defines with `option-def`. Facts of Kea's manual.

The law: a value comes out as the engine takes it, or BadWord says why not.
"""

from __future__ import annotations

import re
from typing import Any

from bootsrv.importing import values
from bootsrv.importing.isc_options import Defined, encode
from bootsrv.importing.isc_tree import Token
from bootsrv.importing.values import BadWord

# Where Kea's name differs from ISC's, which is looked up as it is.
CODES = {
    "name-servers": 5, "nwip-domain-name": 62, "nisplus-domain-name": 64, "boot-file-name": 67,
    "ipv6-only-preferred": 108, "classless-static-route": 121, "vivso-suboptions": 125,
}  # fmt: skip

_TYPES = {
    "ipv4-address": ("ip-address",),
    "string": ("text",),
    "binary": ("string",),
    "boolean": ("boolean",),
    **{f"{sign}int{bits}": ("integer", str(bits)) for sign in ("", "u") for bits in (8, 16, 32)},
}
_COMMA = re.compile(r"(?<!\\),")
_HEX = re.compile(r"(0x)?[0-9A-Fa-f]*\Z")


def code_of(name: str) -> int:
    """The number of an option by Kea's name. Raises BadWord."""
    found = CODES.get(name) or values.code_of(name)
    if found is None:
        raise BadWord("no such DHCP option")
    return found


def define(code: int, kind: str, array: bool) -> Defined:
    """An `option-def`. Raises BadWord for types that are records, names or spaces."""
    words = _TYPES.get(kind)
    if words is None:
        raise BadWord(f"the type {kind[:40]!r} is not taken over")
    if not 0 < code < 255:
        raise BadWord(f"{code} is not an option's number")
    return Defined(code, ("array", "of", *words) if array else words)


def value(code: int, data: str, csv: bool, defined: Defined | None) -> tuple[str, Any]:
    """(our name, canonical value). `csv`: the data is text with commas, not hex. Raises BadWord."""
    if not csv:
        return values.option_from_bytes(code, _bytes(data))
    plain = data.replace("\\,", ",")
    if defined is not None:
        return values.option_from_bytes(code, _typed(data, plain, defined))
    name = values.name_of(code)
    if name == f"option-{code}":
        raise BadWord("an option without a definition needs csv-format false")
    if code in values.HEX_CODES:
        return values.option_from_bytes(code, _bytes(data))
    if code in values.ROUTE_CODES:
        plain = plain.replace(" - ", " ")
    return values.option(name, plain)


def _typed(data: str, plain: str, defined: Defined) -> bytes:
    if defined.type == ("string",):
        return _bytes(data)
    text = defined.type[-1] == "text"
    parts = [plain] if defined.type == ("text",) else [part.strip() for part in _COMMA.split(data)]
    words = [Token(part.replace("\\,", ","), 0, quoted=text) for part in parts]
    return encode(defined.type, words, lambda name: None, [])


def _bytes(data: str) -> bytes:
    plain = re.sub(r"[\s:]", "", data)
    if not _HEX.match(plain) or len(plain) % 2:
        raise BadWord(f"{data[:40]!r} is not hex")
    return bytes.fromhex(plain.removeprefix("0x"))
