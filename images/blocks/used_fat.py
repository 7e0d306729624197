"""Used clusters of FAT12, FAT16 and FAT32, by the first allocation table (Microsoft FAT specification 1.03).

Tables are written through, so they are right even after a crash: at worst a lost chain counts as used.
Python 3.8, standard library only. Pure.
"""

from __future__ import annotations

import itertools
import struct
import sys
from array import array
from collections.abc import Iterable, Iterator

from images.blocks.bits import Map, Read, merged

_BAD = {12: 0xFF7, 16: 0xFFF7, 32: 0x0FFFFFF7}
_STEP = 12 << 18  # bytes of table; a multiple of three (FAT12) and of four


def used(read: Read) -> Map | None:
    """The map, or None when this is no FAT file system."""
    if not span(read):
        return None
    sector, per_cluster, reserved, tables, root, total, table = _head(read(0, 512))
    data = reserved + tables * table + -(-root * 32 // sector)  # sectors before the first cluster
    count = (total - data) // per_cluster
    if count < 1 or total < data:
        return None
    bits = 12 if count < 4085 else 16 if count < 65525 else 32
    cluster = per_cluster * sector
    ranges = [(0, data * sector)]
    for first, length in _runs(_entries(read, reserved * sector, table * sector, bits, count), bits):
        ranges.append((data * sector + first * cluster, length * cluster))
    return Map("vfat", total * sector, merged(ranges, total * sector))


def span(read: Read) -> int:
    """The bytes that a FAT file system says it has; 0: it is none."""
    raw = read(0, 512)
    sector, per_cluster, reserved, tables, _, total, table = _head(raw)
    plausible = raw[510:512] == b"\x55\xaa" and raw[0] in (0xEB, 0xE9) and sector in (512, 1024, 2048, 4096)
    if not plausible or not per_cluster or per_cluster & (per_cluster - 1) or tables not in (1, 2):
        return 0
    if raw[3:11] in (b"NTFS    ", b"EXFAT   ") or not (reserved and total and table):
        return 0
    return total * sector


def _head(raw: bytes) -> tuple[int, ...]:
    """Bytes of a sector, sectors of a cluster, reserved ones, tables, entries of the root, all sectors, those
    of a table.
    """
    total = struct.unpack_from("<H", raw, 19)[0] or struct.unpack_from("<I", raw, 32)[0]
    table = struct.unpack_from("<H", raw, 22)[0] or struct.unpack_from("<I", raw, 36)[0]
    return (*struct.unpack_from("<HBHBH", raw, 11), total, table)


def _entries(read: Read, offset: int, length: int, bits: int, count: int) -> Iterator[int]:
    """The table's entries from cluster 2 on."""
    needed = min(length, -(-(count + 2) * bits // 8))
    every = itertools.chain.from_iterable(
        _numbers(read(offset + at, min(_STEP, needed - at)), bits) for at in range(0, needed, _STEP)
    )
    return itertools.islice(every, 2, count + 2)


def _numbers(raw: bytes, bits: int) -> Iterable[int]:
    if bits == 12:
        return (n for a, b, c in zip(raw[::3], raw[1::3], raw[2::3] + b"\0") for n in _pair(a, b, c))  # noqa: B905
    values: array[int] = array("H" if bits == 16 else "I", raw[: len(raw) // (bits // 8) * (bits // 8)])
    if sys.byteorder == "big":
        values.byteswap()
    return values


def _pair(a: int, b: int, c: int) -> tuple[int, int]:
    return a | (b & 15) << 8, b >> 4 | c << 4


def _runs(entries: Iterable[int], bits: int) -> Iterator[tuple[int, int]]:
    mask, bad, place = (1 << min(bits, 28)) - 1, _BAD[bits], 0
    for taken, group in itertools.groupby(entries, lambda entry: entry & mask not in (0, bad)):
        length = sum(1 for _ in group)
        if taken:
            yield place, length
        place += length
