"""Which Linux a kernel image is. Pure. Linux Documentation/arch/x86/boot.rst."""

from __future__ import annotations

import struct

HEAD = 0x8000  # bytes of the file that are enough


def version(head: bytes) -> str:
    """The release (`6.1.0-50-amd64`) in a PC kernel's header; "" for another kind of file."""
    if len(head) < 0x210 or head[0x202:0x206] != b"HdrS":
        return ""
    (place,) = struct.unpack_from("<H", head, 0x20E)
    if not place:
        return ""
    text = head[place + 0x200 : place + 0x300].split(b"\0", 1)[0].split(b" ", 1)[0]
    return text.decode("ascii", "replace") if text.isascii() else ""
