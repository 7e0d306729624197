"""Write a disk image to a disk or a file: data where data was, zeros where zeros were, nothing where it does
not matter.

Law: the first megabytes (boot code, table) are made zero before anything else and written last, so that a
disk that was written in part is never booted. The caller has checked that the target is the right one.
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
from typing import Any

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


def write_disk(
    header: Header, entries: Iterable[Entry], chunks: Iterator[bytes], fd: int, blank: bool = False,
    progress: Progress = silent,
) -> int:  # fmt: skip
    """Write everything to the open disk or file; returns bytes of data. `blank`: it reads as zeros already.

    `chunks` are the entries' chunks in their order. Raises BadInput, ChunkCorrupt, OSError (also by fsync).
    """
    shape = shape_of(header)
    if not blank:
        _zero(fd, 0, min(HEAD, shape["size"]))
        os.fsync(fd)
    head: list[tuple[int, bytes]] = []
    done = place = 0
    for offset, entry in read_regions(header, entries):
        for at, data in _pieces(offset, entry, chunks):
            if not blank and at > place:
                _clear(fd, place, at, shape["free"])
            place = at + len(data)
            early = data[: max(0, HEAD - at)]
            if early:
                head.append((at, early))
            _write(fd, at + len(early), data[len(early) :])
            done += len(data)
            progress(done, header.bytes, f"{place >> 20} of {shape['size'] >> 20} MiB")
    if not blank:
        _clear(fd, place, shape["size"], shape["free"])
    os.fsync(fd)
    for at, data in head:
        _write(fd, at, data)
    os.fsync(fd)
    return done


def verify_disk(header: Header, entries: Iterable[Entry], fd: int, budget: int) -> int:
    """Read back up to about `budget` bytes, spread evenly, and compare; returns bytes.

    Raises ChunkCorrupt.
    """
    share, passed, read = min(1.0, budget / max(1, header.bytes)), 0, 0
    for offset, entry in read_regions(header, entries):
        for chunk, ranges in _placed(entry):
            passed += chunk.length
            if read > passed * share - chunk.length / 2:
                continue
            raw = b"".join(os.pread(fd, length, offset + at) for at, length in ranges)
            if hashlib.sha256(raw).digest() != chunk.id:
                raise ChunkCorrupt(f"the disk reads back differently at {offset + ranges[0][0]}: bad disk?")
            read += chunk.length
    return read


def _placed(entry: Entry) -> Iterator[tuple[Chunk, list[tuple[int, int]]]]:
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


def _pieces(offset: int, entry: Entry, chunks: Iterator[bytes]) -> Iterator[tuple[int, bytes]]:
    """(place on the disk, bytes) of the region's data, in order."""
    for chunk, ranges in _placed(entry):
        data = next(chunks, b"")
        if len(data) != chunk.length:
            raise BadInput(f"{entry.name}: a chunk has {len(data)} bytes, {chunk.length} were promised")
        used = 0
        for at, length in ranges:
            yield offset + at, data[used : used + length]
            used += length


def _clear(fd: int, start: int, end: int, free: Iterable[Iterable[int]]) -> None:
    """Make [start, end) zero but for what lies in free stretches."""
    start = max(start, HEAD)  # the head was made zero at the beginning
    for low, high in free:
        if start < low:
            _zero(fd, start, min(low, end) - start)
        start = max(start, high)
        if start >= end:
            return
    _zero(fd, start, end - start)


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
