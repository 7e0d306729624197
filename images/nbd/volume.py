"""A version as a device: its size, the bytes at its beginning that no chunk holds, and which chunk lies
where.

    "BSVOLUM1"  sha256 of the rest  manifest id, size, length of the head, number of runs
    columns     little-endian, a row per run: start u64; length, chunk, offset inside the chunk u32
    head        the device's first bytes: a tree's metadata, nothing for a disk

Chunks are numbered as in the version's locator, whose sorted ids stay the same wherever gc moves the
chunks. The file is made from the manifest alone and can be thrown away at any time; building.py makes it.
"""

from __future__ import annotations

import hashlib
import os
import struct
import sys
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from images.disk import write_file
from images.errors import BadInput

MAGIC = b"BSVOLUM1"
_HEAD = struct.Struct("<8s32s32sQQI")
_ROW = 20


class Piece(NamedTuple):
    """`length` bytes of the device from `start` are those from `skip` of chunk number `chunk`."""

    start: int
    length: int
    chunk: int
    skip: int


class Volume:
    """A volume file. Lookups take microseconds; memory is 20 bytes per run, the head stays on disk."""

    def __init__(self, path: Path, id: str, size: int, head: int, columns: list[array[int]]) -> None:
        self.path = path
        self.id = id
        self.size = size
        self.head = head
        self._starts, self._lengths, self.chunks, self._skips = columns
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._head_at = _HEAD.size + len(self._starts) * _ROW

    def __len__(self) -> int:
        return len(self._starts)

    def close(self) -> None:
        """Release the file."""
        os.close(self._fd)

    def piece(self, number: int) -> Piece:
        """One run."""
        return Piece(
            self._starts[number], self._lengths[number], self.chunks[number], self._skips[number]
        )  # fmt: skip

    def overlapping(self, start: int, end: int) -> range:
        """Numbers of the runs that have bytes in [start, end)."""
        first = max(bisect_right(self._starts, start) - 1, 0)
        if first < len(self) and self._starts[first] + self._lengths[first] <= start:
            first += 1
        return range(first, bisect_left(self._starts, end, lo=first))

    def head_bytes(self, start: int, end: int) -> bytes:
        """Bytes of the head. Raises BadInput when the file was cut short."""
        data = os.pread(self._fd, end - start, self._head_at + start)
        if len(data) != end - start:
            raise BadInput(f"{self.path}: cut off; remove it, it is made again")
        return data

    def data(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        """The stretches (start, end) within [start, end) that are not known to be zeros, joined."""
        place, until = start, min(self.head, end)
        for number in self.overlapping(start, end):
            low = max(self._starts[number], start)
            if low > until:
                if place < until:
                    yield place, until
                place = low
            until = max(until, min(self._starts[number] + self._lengths[number], end))
        if place < until:
            yield place, until

    def before(self, number: int) -> int:
        """Where what lies before that run ends."""
        if number == 0:
            return self.head
        return self._starts[number - 1] + self._lengths[number - 1]

    def after(self, number: int) -> int:
        """Where what lies after that run begins."""
        return self._starts[number + 1] if number + 1 < len(self) else self.size


def save(path: Path, id: str, size: int, head: bytes, rows: Iterable[Piece], temp: Path) -> None:
    """Write a volume file; it appears when it is complete. Raises OSError."""
    columns = [array("Q"), array("I"), array("I"), array("I")]
    for row in rows:
        for column, value in zip(columns, row, strict=True):
            column.append(value)
    count = len(columns[0])
    if sys.byteorder == "big":
        for column in columns:
            column.byteswap()
    body = b"".join([*(column.tobytes() for column in columns), head])
    facts = struct.pack("<32sQQI", bytes.fromhex(id), size, len(head), count)
    write_file(path, MAGIC + hashlib.sha256(facts + body).digest() + facts + body, temp)


def load(path: Path, id: str) -> Volume:
    """Read and check a volume file. Raises BadInput when it is damaged or another's, FileNotFoundError."""
    data = path.read_bytes()
    if len(data) < _HEAD.size:
        raise BadInput(f"{path}: cut off")
    magic, digest, owner, size, head, count = _HEAD.unpack_from(data)
    if magic != MAGIC or owner.hex() != id or len(data) != _HEAD.size + count * _ROW + head:
        raise BadInput(f"{path}: not the volume of {id[:12]}")
    if hashlib.sha256(memoryview(data)[40:]).digest() != digest:
        raise BadInput(f"{path}: damaged")
    columns, place = [], _HEAD.size
    for kind in "QIII":
        column: array[int] = array(kind)
        column.frombytes(data[place : place + count * column.itemsize])
        place += count * column.itemsize
        if sys.byteorder == "big":
            column.byteswap()
        columns.append(column)
    return Volume(path, id, size, head, columns)
