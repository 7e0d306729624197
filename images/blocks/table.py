"""Partition tables: GPT (UEFI 2.10, chapter 5) and MBR with its chain of logical partitions.

Only where partitions lie is of interest: whatever a table does not say stays in the gaps, which are kept too.
Python 3.8, standard library only. Pure.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

from images.blocks.bits import Read
from images.errors import BadInput

GPT_HEAD = struct.Struct("<8s4sIIIQQQQ16sQIII")  # up to the CRC of the entries
_EXTENDED = (0x05, 0x0F, 0x85)
_PROTECTIVE = 0xEE
_CHAIN = 128  # logical partitions; longer is a circle


class Part(NamedTuple):
    """One partition: its number, `start` and `size` in bytes, its type (GUID or two hex digits), its name."""

    number: int
    start: int
    size: int
    type: str
    name: str = ""


class Table(NamedTuple):
    """The partitions by place; `kind` is gpt, mbr or none, `sector` what the table counts in. `end`: where
    the table says that its disk ends, in bytes; partitions behind the end that it has are not in `parts`.
    """

    kind: str
    sector: int
    parts: list[Part]
    end: int = 0


def read_table(read: Read, size: int, sector: int) -> Table:
    """The table of a disk of `size` bytes; a damaged GPT is read from its copy at the end."""
    for unit in dict.fromkeys((sector, 512, 4096)):
        if size < 34 * unit:
            continue
        for place in (unit, (size // unit - 1) * unit):
            raw = read(place, unit)
            entries = _gpt_entries(read, raw, unit, size)
            if entries is not None:
                copy = GPT_HEAD.unpack_from(raw)[6] + 1  # of a disk that has grown it is not at the end
                end = max([copy * unit, *(part.start + part.size for part in entries)])
                return Table("gpt", unit, _inside(entries, size), end)
    if size >= 512 and read(510, 2) == b"\x55\xaa":
        parts, end = list(_mbr(read, size, sector)), _mbr_end(read(0, 512), sector)
        if parts or end > size:
            return Table("mbr", sector, sorted(parts, key=lambda part: part.start), end)
    return Table("none", sector, [])


def _inside(parts: list[Part], size: int) -> list[Part]:
    return sorted((part for part in parts if part.start + part.size <= size), key=lambda part: part.start)


def gpt_sound(raw: bytes) -> bool:
    """Whether the bytes begin with a GPT header that fits its checksum."""
    if raw[:8] != b"EFI PART":
        return False
    length: int = struct.unpack_from("<I", raw, 12)[0]
    head = raw[:16] + bytes(4) + raw[20:length]
    check: int = struct.unpack_from("<I", raw, 16)[0]
    return 92 <= length <= len(raw) and zlib.crc32(head) == check


def _gpt_entries(read: Read, raw: bytes, unit: int, size: int) -> list[Part] | None:
    if not gpt_sound(raw):
        return None
    *_, place, count, width, check = GPT_HEAD.unpack_from(raw)
    if not (count <= 4096 and 128 <= width <= 4096 and place * unit + count * width <= size):
        return None
    table = read(place * unit, count * width)
    if zlib.crc32(table) != check:
        return None
    found = []
    for number in range(count):
        row = table[number * width : number * width + 128]
        first, last = struct.unpack_from("<QQ", row, 32)
        if row[:16] == bytes(16) or last < first:
            continue
        name = row[56:128].decode("utf-16-le", "replace").partition("\0")[0]
        found.append(Part(number + 1, first * unit, (last + 1 - first) * unit, guid(row[:16]), name))
    return found


def guid(raw: bytes) -> str:
    """Sixteen bytes as UEFI writes them: the first three fields little-endian."""
    a, b, c = struct.unpack_from("<IHH", raw)
    return f"{a:08x}-{b:04x}-{c:04x}-{raw[8:10].hex()}-{raw[10:16].hex()}"


def _mbr(read: Read, size: int, sector: int) -> Iterator[Part]:
    for number, (kind, start, count) in enumerate(_rows(read(0, 512)), 1):
        if kind in _EXTENDED:
            yield from _logical(read, size, sector, start)
        elif kind and kind != _PROTECTIVE and count and (start + count) * sector <= size:
            yield Part(number, start * sector, count * sector, f"{kind:02x}")


def _mbr_end(raw: bytes, sector: int) -> int:
    """Where the last partition ends; 0 when this may as well be some program with the same mark."""
    if any(raw[at] not in (0, 0x80) for at in range(446, 510, 16)):
        return 0
    rows = [(start, count) for kind, start, count in _rows(raw) if kind not in (0, _PROTECTIVE) and count]
    return max([(start + count) * sector for start, count in rows if start] or [0])


def _logical(read: Read, size: int, sector: int, base: int) -> Iterator[Part]:
    """Each link: a partition relative to itself, then the next link relative to the extended partition."""
    link = base
    for number in range(5, 5 + _CHAIN):
        if (link + 1) * sector > size:
            return
        raw = read(link * sector, 512)
        if raw[510:] != b"\x55\xaa":
            return
        (kind, start, count), (following, ahead, _) = _rows(raw)[:2]
        if kind and count and (link + start + count) * sector <= size:
            yield Part(number, (link + start) * sector, count * sector, f"{kind:02x}")
        if following not in _EXTENDED:
            return
        link = base + ahead
    raise BadInput("the chain of logical partitions is a circle")


def _rows(raw: bytes) -> list[tuple[int, int, int]]:
    """(type, first sector, sectors) of the four places."""
    return [(raw[at + 4], *struct.unpack_from("<II", raw, at + 8)) for at in range(446, 510, 16)]
