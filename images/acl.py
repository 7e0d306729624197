"""POSIX ACLs as archives spell them (text) to the form the kernel keeps in system.posix_acl_* (acl(5),
64-bit rows).

GNU tar writes names; star and bsdtar add the number as a fourth field. Law: a name without number is looked
up in the tables that are given, and one that is nowhere is UnknownName, because guessing would grant access
to somebody else.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping

from images.errors import BadInput

ACCESS, DEFAULT = "system.posix_acl_access", "system.posix_acl_default"
_VERSION = struct.pack("<I", 2)
_ROW = struct.Struct("<HHI")
_ANYONE = 0xFFFFFFFF
_TAGS = {("user", False): 1, ("user", True): 2, ("group", False): 4, ("group", True): 8}
_TAGS |= {("mask", False): 16, ("other", False): 32}
_KINDS = {tag: kind for kind, tag in _TAGS.items()}
_SHORT = {"u": "user", "g": "group", "m": "mask", "o": "other"}
_BITS = {"r": 4, "w": 2, "x": 1, "-": 0}


class UnknownName(BadInput):
    """An entry names a user or group (`kind`) that no table has."""

    def __init__(self, kind: str, name: str) -> None:
        super().__init__(f"the ACL names the {kind} {name!r}, who is unknown")
        self.kind, self.name = kind, name


def acl_xattr(text: str, users: Mapping[str, int], groups: Mapping[str, int]) -> bytes:
    """The xattr value of an ACL text. Raises UnknownName, other BadInput."""
    rows = []
    for part in re.split(r"[,\n]", text):
        part = part.partition("#")[0].strip()
        if part:
            rows.append(_row(part, users, groups))
    return _VERSION + b"".join(_ROW.pack(*row) for row in sorted(rows))


def acl_text(value: bytes) -> str | None:
    """An xattr value as text, with numbers in the place of names, which every reader takes when nobody has
    such a name; None when it is no ACL.
    """
    rows, odd = divmod(len(value) - len(_VERSION), _ROW.size)
    if odd or rows < 3 or not value.startswith(_VERSION):
        return None
    parts = []
    for tag, permissions, number in _ROW.iter_unpack(value[len(_VERSION) :]):
        if tag not in _KINDS or permissions > 7:
            return None
        kind, named = _KINDS[tag]
        rights = "".join(letter if permissions & bit else "-" for letter, bit in list(_BITS.items())[:3])
        parts.append(f"{kind}:{number if named else ''}:{rights}")
    return ",".join(parts)


def minimal(value: bytes) -> bool:
    """Whether an xattr value says no more than the mode of a file does: owner, group and others alone."""
    return len(value) == len(_VERSION) + 3 * _ROW.size


def _row(part: str, users: Mapping[str, int], groups: Mapping[str, int]) -> tuple[int, int, int]:
    fields = part.split(":")
    if len(fields) < 3:
        raise BadInput(f"ACL entry {part!r} cannot be read")
    kind = _SHORT.get(fields[0], fields[0])
    who, rights = fields[1], fields[2]
    tag = _TAGS.get((kind, bool(who)))
    if tag is None or not set(rights) <= set(_BITS):
        raise BadInput(f"ACL entry {part!r} cannot be read")
    permissions = sum(_BITS[letter] for letter in rights)
    if not who:
        return tag, permissions, _ANYONE
    number = fields[3] if len(fields) > 3 else who
    if number.isdecimal():
        return tag, permissions, _id(number, part)
    known = (users if kind == "user" else groups).get(who)
    if known is None:
        raise UnknownName(kind, who)
    return tag, permissions, known


def _id(number: str, part: str) -> int:
    if int(number) >= _ANYONE:
        raise BadInput(f"ACL entry {part!r}: no id is that large")
    return int(number)


def numbers(table: bytes) -> dict[str, int]:
    """Names to numbers of a passwd(5) or group(5); of a name that is there twice the first counts."""
    found: dict[str, int] = {}
    for line in table.decode("utf-8", "surrogateescape").splitlines():
        fields = line.split(":")
        if len(fields) > 2 and fields[0] and fields[2].isdecimal() and int(fields[2]) < _ANYONE:
            found.setdefault(fields[0], int(fields[2]))
    return found
