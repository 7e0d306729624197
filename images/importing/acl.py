"""POSIX ACLs as archives spell them (text) to the form the kernel keeps in system.posix_acl_* (acl(5),
64-bit rows).

GNU tar writes names, star adds the number as a fourth field. A name without number is looked up among the
ids the archive itself brought; one that is nowhere is BadInput, because guessing would grant access to
somebody else.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping

from images.errors import BadInput

_VERSION = struct.pack("<I", 2)
_ROW = struct.Struct("<HHI")
_ANYONE = 0xFFFFFFFF
_TAGS = {("user", False): 1, ("user", True): 2, ("group", False): 4, ("group", True): 8}
_TAGS |= {("mask", False): 16, ("other", False): 32}
_SHORT = {"u": "user", "g": "group", "m": "mask", "o": "other"}
_BITS = {"r": 4, "w": 2, "x": 1, "-": 0}


def acl_xattr(text: str, users: Mapping[str, int], groups: Mapping[str, int]) -> bytes:
    """The xattr value of an ACL text. Raises BadInput."""
    rows = []
    for part in re.split(r"[,\n]", text):
        part = part.partition("#")[0].strip()
        if part:
            rows.append(_row(part, users, groups))
    return _VERSION + b"".join(_ROW.pack(*row) for row in sorted(rows))


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
    if number.isdigit():
        return tag, permissions, int(number)
    known = (users if kind == "user" else groups).get(who)
    if known is None:
        raise BadInput(f"ACL entry {part!r} names an unknown {kind}")
    return tag, permissions, known
