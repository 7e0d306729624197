"""One file's bytes as chunks: those of the version before are recognised where they lie, the rest is cut.

A chunk of the base at its old place is found by hashing alone, at the speed of sha256; bytes put in or taken
out in one place move the end, which is compared from behind. Only what is left is cut: here, in slow plain
Python, where the server seems to know some of it, else there. Python 3.8, standard library only.
"""

from __future__ import annotations

import hashlib
import os
from bisect import bisect_right
from typing import Callable, List, NamedTuple, Optional, Sequence

from images.agent.capture import cutter
from images.agent.capture.upload import Upload
from images.capture.wire import BATCH
from images.manifest import Chunk, Entry

PROBES = 3  # places of a large stretch where the server is asked
SMALL = 1 << 20  # bytes; less is probed at its start alone
PATIENCE, SELDOM = 32, 8  # so many strangers in a row, and only each eighth is probed


class Stretch(NamedTuple):
    """Data from `start` to `end`; `chunk` when it is one that the base has."""

    start: int
    end: int
    chunk: Optional[Chunk] = None


class Changed(Exception):
    """The file became shorter while it was read."""


class Data:
    """The data ranges of an open file as one run of bytes, holes left out."""

    def __init__(self, fd: int, entry: Entry, shift: int = 0) -> None:
        """`shift`: where in the file or disk the entry begins, in bytes."""
        self._fd, self._shift = fd, shift
        whole = ((0, entry.size),) if entry.size else ()
        self._ranges = list(whole if entry.extents is None else entry.extents)
        self._starts: List[int] = []
        self.size = 0
        for _, length in self._ranges:
            self._starts.append(self.size)
            self.size += length
        self.read_bytes = 0

    def read(self, start: int, length: int) -> bytes:
        """Exactly these bytes, or up to the end of the data. Raises Changed."""
        parts: List[bytes] = []
        left = min(length, self.size - start)
        while left > 0:
            number = bisect_right(self._starts, start) - 1
            inner = start - self._starts[number]
            offset, size = self._ranges[number]
            piece = os.pread(self._fd, min(left, size - inner), self._shift + offset + inner)
            if not piece:
                raise Changed
            parts.append(piece)
            start, left = start + len(piece), left - len(piece)
            self.read_bytes += len(piece)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def read_into(self, room: memoryview, start: int) -> None:
        """Exactly as many bytes as there is room for. Raises Changed."""
        place = 0
        while place < len(room):
            number = bisect_right(self._starts, start) - 1
            inner = start - self._starts[number]
            offset, size = self._ranges[number]
            most = min(len(room) - place, size - inner)
            got = os.preadv(self._fd, [room[place : place + most]], self._shift + offset + inner)
            if not got:
                raise Changed
            start, place = start + got, place + got
        self.read_bytes += place


def stretches(data: Data, base: Sequence[Chunk]) -> List[Stretch]:
    """The file as chunks that the base has and stretches in between that it may not have."""
    found: List[Stretch] = []
    place = dirty = 0
    for chunk in base:
        end = place + chunk.length
        if end > data.size:
            break
        if hashlib.sha256(data.read(place, chunk.length)).digest() == chunk.id:
            if dirty < place:
                found.append(Stretch(dirty, place))
            found.append(Stretch(place, end, chunk))
            dirty = end
        place = end
    if dirty == data.size:
        return found
    tail = _from_behind(data, base, dirty)
    middle = tail[0].start if tail else data.size
    return [*found, *([Stretch(dirty, middle)] if dirty < middle else []), *tail]


def _from_behind(data: Data, base: Sequence[Chunk], least: int) -> List[Stretch]:
    """Base chunks that lie at the data's end, as far as they fit."""
    tail: List[Stretch] = []
    end = data.size
    if sum(chunk.length for chunk in base) == end:
        return tail  # nothing has moved: compared already
    for chunk in reversed(base):
        start = end - chunk.length
        if start < least or hashlib.sha256(data.read(start, chunk.length)).digest() != chunk.id:
            break
        tail.append(Stretch(start, end, chunk))
        end = start
    return tail[::-1]


def hand_over(
    data: Data, base: Sequence[Chunk], upload: Upload, told: Callable[[int], None] = lambda done: None
) -> None:
    """Gives all of the file to the upload, as its file at hand. `told` hears how far it is.

    Raises Changed, BadInput, OSError; then the upload holds a part of it.
    """
    if upload.blank and not base:
        _cut_there(data, Stretch(0, data.size), upload, told)
        return
    if data.size <= cutter.WHOLE:
        if not data.size:
            return
        whole = data.read(0, data.size)
        id = hashlib.sha256(whole).digest()
        if len(base) == 1 and base[0].id == id:
            upload.known(base)
        else:
            upload.put(whole, id)
        return
    same: List[Chunk] = []
    for stretch in stretches(data, base) if base else [Stretch(0, data.size)]:
        if stretch.chunk is not None:
            same.append(stretch.chunk)
            continue
        upload.known(same)
        same = []
        if _seems_known(data, stretch, upload):
            _cut_here(data, stretch, upload)
        else:
            _cut_there(data, stretch, upload, told)
        told(stretch.end)
    upload.known(same)


def _seems_known(data: Data, stretch: Stretch, upload: Upload) -> bool:
    """Whether the server has one of a few chunks of the stretch: then it may have more.

    Finding chunks to ask about is slow, so where all was new for long it is done less often.
    """
    if upload.blank:
        return False
    if upload.strangers >= PATIENCE and upload.strangers % SELDOM:
        upload.strangers += 1
        return False
    size = stretch.end - stretch.start
    places = [stretch.start]
    if size > SMALL:
        places += [stretch.start + size * n // PROBES for n in range(1, PROBES)]
    ids = []
    for place in places:
        piece = data.read(place, min(3 * cutter.MAX, stretch.end - place))
        start = 0
        if place != stretch.start:  # cuts found from anywhere soon are those found from the start
            for _ in range(2):
                start = cutter.cut_at(piece, start)
        if start < len(piece):
            ids.append(hashlib.sha256(piece[start : cutter.cut_at(piece, start)]).digest())
    known = any(upload.has(ids))
    upload.strangers = 0 if known else upload.strangers + 1
    return known


def _cut_here(data: Data, stretch: Stretch, upload: Upload) -> None:
    place, held, start = stretch.start, b"", 0
    while place < stretch.end or start < len(held):
        if len(held) - start < cutter.MAX and place < stretch.end:
            more = data.read(place, min(SMALL, stretch.end - place))
            held, start, place = held[start:] + more, 0, place + len(more)
        end = cutter.cut_at(held, start)
        upload.put(held[start:end])
        start = end


def _cut_there(data: Data, stretch: Stretch, upload: Upload, told: Callable[[int], None]) -> None:
    for place in range(stretch.start, stretch.end, BATCH):
        end = min(place + BATCH, stretch.end)
        upload.data(data.read_into, place, end)
        told(end)
