"""Which shared libraries an ELF file asks for: enough of the format to follow DT_NEEDED, whatever the
machine.

System V ABI, "Dynamic Section". 64-bit little-endian only, which is every machine an imager is built for.
The law: any bytes -> a tuple of names, or ValueError for a damaged ELF file; what is no ELF file has no
needs.
"""

from __future__ import annotations

import struct

SHT_DYNAMIC = 6
DT_NEEDED = 1
HEADER = struct.Struct("<4sBBBB8xHHIQQQIHHHHHH")
SECTION = struct.Struct("<IIQQQQIIQQ")


def needed(data: bytes) -> tuple[str, ...]:
    """Names from DT_NEEDED, in order."""
    if data[:4] != b"\x7fELF":
        return ()
    try:
        return _needed(data)
    except (struct.error, IndexError, OverflowError, UnicodeDecodeError) as error:
        raise ValueError(f"damaged ELF file: {error}") from error


def _needed(data: bytes) -> tuple[str, ...]:
    header = HEADER.unpack_from(data)
    if header[1:3] != (2, 1):
        raise ValueError("not a 64-bit little-endian ELF file")
    offset, entry_size, count = header[10], header[15], header[16]
    sections = [SECTION.unpack_from(data, offset + i * entry_size) for i in range(count)]
    for section in sections:
        if section[1] != SHT_DYNAMIC:
            continue
        table, size, strings = section[4], section[5], sections[section[6]]
        pairs = struct.iter_unpack("<QQ", data[table : table + size // 16 * 16])
        return tuple(_string(data, strings[4] + value) for tag, value in pairs if tag == DT_NEEDED)
    return ()


def _string(data: bytes, start: int) -> str:
    end = data.index(b"\0", start) if start < len(data) else -1
    if end < 0:
        raise IndexError("string outside of the file")
    return data[start:end].decode()
