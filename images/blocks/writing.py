"""Write a disk image to a disk or a file: data where data was, zeros where zeros were, nothing where it does
not matter.

Law: the first megabytes (boot code, table) are made zero before anything else and written last, so that a
disk that was written in part is never booted. What the disk was found to hold already is left alone. The
caller has checked that the target is the right one.
Python 3.8, standard library only.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import stat
import struct
from collections.abc import Iterable, Iterator, Mapping
from itertools import repeat
from typing import Any, NamedTuple

from images.blocks.regions import read_regions, shape_of
from images.errors import BadInput, ChunkCorrupt
from images.manifest import Chunk, Entry, Header
from images.progress import Progress, silent

HEAD = 4 << 20  # bytes that are written last
_BLKZEROOUT = 0x127F  # linux/fs.h; argument: start and length in bytes
_STEP = 1 << 20


def check_target(shape: Mapping[str, Any], size: int, sector: int, what: str) -> None:
    """Raises BadInput when a disk of these sizes (bytes) cannot hold the image."""
    if size < shape["size"]:
        raise BadInput(f"{what} has {size} bytes; this disk image needs {shape['size']}")
    if shape.get("table") != "none" and sector != shape["sector"]:
        raise BadInput(
            f"{what} has sectors of {sector} bytes; the table in this disk image counts in {shape['sector']}"
        )


class Found(NamedTuple):
    """What of an image a disk holds (comparing.py): for each chunk whether it is right; stretches (start,
    length) that should be zeros and are not; bytes of chunks that are right.
    """

    right: bytearray
    dirty: list[tuple[int, int]]
    bytes: int

    @property
    def all(self) -> bool:
        """Nothing is to be done."""
        return not self.dirty and all(self.right)


def missing(header: Header, entries: Iterable[Entry], found: Found) -> Iterator[Chunk]:
    """The chunks that `write_disk` wants with what was found: the head's are always among them."""
    numbers = iter(found.right)
    for offset, entry in read_regions(header, entries):
        for chunk, ranges in placed(entry):
            if not next(numbers) or offset + ranges[0][0] < HEAD:
                yield chunk


def write_disk(
    header: Header, entries: Iterable[Entry], chunks: Iterator[bytes], fd: int, blank: bool = False,
    progress: Progress = silent, found: Found | None = None,
) -> int:  # fmt: skip
    """Write everything to the open disk or file; returns bytes of data that were written.

    `blank`: it reads as zeros already; `found`: only what is not right yet. `chunks` are the entries' chunks
    in their order, or with `found` those that are `missing`. Raises BadInput, ChunkCorrupt, OSError (also by
    fsync).
    """
    shape = shape_of(header)
    if not blank:
        _zero(fd, 0, min(HEAD, shape["size"]))
        os.fsync(fd)
    for start, length in found.dirty if found is not None else ():
        _clear(fd, start, start + length, shape["free"])
    head: list[tuple[int, bytes]] = []
    written = done = place = 0
    right = iter(found.right) if found is not None else repeat(0)
    for offset, entry in read_regions(header, entries):
        for at, length, data in _pieces(offset, entry, chunks, right):
            if not blank and found is None and at > place:
                _clear(fd, place, at, shape["free"])
            place = at + length
            done += length
            if data is not None:
                early = data[: max(0, HEAD - at)]
                if early:
                    head.append((at, early))
                _write(fd, at + len(early), data[len(early) :])
                written += length
            progress(done, header.bytes, f"{place >> 20} of {shape['size'] >> 20} MiB")
    if not blank and found is None:
        _clear(fd, place, shape["size"], shape["free"])
    os.fsync(fd)
    for at, data in head:
        _write(fd, at, data)
    os.fsync(fd)
    return written


def verify_disk(header: Header, entries: Iterable[Entry], fd: int, budget: int) -> int:
    """Read back up to about `budget` bytes, spread evenly, and compare; returns bytes.

    Raises ChunkCorrupt.
    """
    share, passed, read = min(1.0, budget / max(1, header.bytes)), 0, 0
    for offset, entry in read_regions(header, entries):
        for chunk, ranges in placed(entry):
            passed += chunk.length
            if read > passed * share - chunk.length / 2:
                continue
            raw = b"".join(os.pread(fd, length, offset + at) for at, length in ranges)
            if hashlib.sha256(raw).digest() != chunk.id:
                raise ChunkCorrupt(f"the disk reads back differently at {offset + ranges[0][0]}: bad disk?")
            read += chunk.length
    return read


def placed(entry: Entry) -> Iterator[tuple[Chunk, list[tuple[int, int]]]]:
    """Each chunk and the (offset, length) in the entry where its bytes lie; a chunk may span several."""
    ranges = list(((0, entry.size),) if entry.extents is None else entry.extents)[::-1]
    for chunk in entry.chunks:
        left, found = chunk.length, []
        while left:
            at, length = ranges.pop()
            taken = min(left, length)
            if taken < length:
                ranges.append((at + taken, length - taken))
            found.append((at, taken))
            left -= taken
        yield chunk, found


def _pieces(
    offset: int, entry: Entry, chunks: Iterator[bytes], right: Iterator[int]
) -> Iterator[tuple[int, int, bytes | None]]:
    """(place on the disk, length, bytes) of the region's data, in order; None for what is right there."""
    for chunk, ranges in placed(entry):
        if next(right) and offset + ranges[0][0] >= HEAD:
            for at, length in ranges:
                yield offset + at, length, None
            continue
        data = next(chunks, b"")
        if len(data) != chunk.length:
            raise BadInput(f"{entry.name}: a chunk has {len(data)} bytes, {chunk.length} were promised")
        used = 0
        for at, length in ranges:
            yield offset + at, length, data[used : used + length]
            used += length


def _clear(fd: int, start: int, end: int, free: Iterable[Iterable[int]]) -> None:
    """Make [start, end) zero but for what lies in free stretches."""
    for low, high in gaps(max(start, HEAD), end, free):  # the head was made zero at the beginning
        _zero(fd, low, high - low)


def gaps(start: int, end: int, free: Iterable[Iterable[int]]) -> Iterator[tuple[int, int]]:
    """What of [start, end) lies in no free stretch."""
    for low, high in free:
        if start >= end:
            return
        if start < low:
            yield start, min(low, end)
        start = max(start, high)
    if start < end:
        yield start, end


def _zero(fd: int, start: int, length: int) -> None:
    if length <= 0:
        return
    if stat.S_ISREG(os.fstat(fd).st_mode):
        for at in range(start, start + length, _STEP):
            _write(fd, at, bytes(min(_STEP, start + length - at)))
        return
    try:
        fcntl.ioctl(fd, _BLKZEROOUT, struct.pack("QQ", start, length))
    except OSError as err:
        if err.errno not in (errno.EOPNOTSUPP, errno.ENOTTY, errno.EINVAL):
            raise
        for at in range(start, start + length, _STEP):
            _write(fd, at, bytes(min(_STEP, start + length - at)))


def _write(fd: int, offset: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(fd, view, offset)
        view, offset = view[written:], offset + written
