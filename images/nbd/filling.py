"""Brings blocks of a version's device into the cache: frames out of the packs, unpacked, every chunk checked.

Law: no byte is written to the cache before the hash of its chunk was checked. A chunk that does not check is
looked for in every pack of the store; where no good copy is found, an error names its file and the repair,
and its blocks stay absent. Called from several threads.
"""

from __future__ import annotations

import hashlib
import os
import threading
from array import array
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from images.errors import BadInput, ChunkCorrupt, ChunkMissing
from images.fetch import read_frame
from images.locator import Locator
from images.named_source import damage
from images.nbd.cache import BLOCK, SEGMENT, SHIFT, Segment
from images.nbd.copies import good_copy
from images.nbd.volume import Volume
from images.shelf import Shelf

_PIECE = 1 << 20  # bytes of the head at once
_BLOCKS = SEGMENT // BLOCK
_MORE = 4  # a chunk that lies in more places than this is written only where it is wanted
Stretch = tuple[int, int]  # start and end, in bytes of the device


class _Order(NamedTuple):
    """The runs by frame: one that is unpacked is used for all that it holds."""

    locator: Locator
    runs: Sequence[int]
    first: Sequence[int]  # per frame, where its own begin in `runs`

    def of(self, frame: int) -> Sequence[int]:
        return self.runs[self.first[frame] : self.first[frame + 1]]


class Filler:
    """Of one version. `segments` gives an open segment by its number."""

    def __init__(self, shelf: Shelf, volume: Volume, segments: Callable[[int], Segment]) -> None:
        self._shelf, self.volume, self._segments = shelf, volume, segments
        self._lock = threading.Lock()
        self._parts: dict[int, tuple[Segment, list[Stretch]]] = {}  # of blocks that are here in part
        self._damaged: dict[bytes, str] = {}  # by chunk, in words
        self._order = _ordered(volume, Locator.parse(shelf.locator(volume.id)))

    def key(self, block: int) -> tuple[int, int]:
        """Blocks of the same key come together: who waits for one of them need not ask for the others."""
        start = block * BLOCK
        if start < self.volume.head:
            return 0, start // _PIECE
        found = self.volume.overlapping(start, start + BLOCK)
        if not found:
            return 1, block
        return 2, self._order.locator.place(self.volume.chunks[found[0]]).frame

    def fill(self, first: int, last: int) -> int:
        """Bring the blocks from `first` up to `last`, exclusive, and what comes with them; bytes written.

        Raises ChunkCorrupt naming the file and the repair, ImageError, OSError.
        """
        start, end = first * BLOCK, min(last * BLOCK, self.volume.size)
        order = self._order
        try:
            return self._fill(order, start, end)
        except ChunkMissing:  # gc has moved what was in that pack, and written a new locator
            with self._lock:
                if self._order is order:
                    self._order = _ordered(self.volume, Locator.parse(self._shelf.locator(self.volume.id)))
        return self._fill(self._order, start, end)

    def _fill(self, order: _Order, start: int, end: int) -> int:
        try:
            return self._filled(order, start, end)
        except ChunkCorrupt as error:
            raise ChunkCorrupt(self._damage(error.chunk), error.chunk) from error

    def _damage(self, chunk: bytes) -> str:
        """The same chunk may be asked for again and again: it is looked for once in the manifest."""
        if chunk not in self._damaged:
            self._damaged[chunk] = damage(self._shelf.manifest(self.volume.id), chunk)
        return self._damaged[chunk]

    def _filled(self, order: _Order, start: int, end: int) -> int:
        numbers = self.volume.overlapping(start, end)
        done = self._gaps(start, end, numbers)
        held = 0
        if start < self.volume.head:
            done.append(self._head(start, min(end, self.volume.head)))
        frames = dict.fromkeys(order.locator.place(self.volume.chunks[number]).frame for number in numbers)
        for frame in frames:
            done += self._frame(order, frame, numbers)
        for low, high in joined(done):
            self._mark(low, high)
            held += high - low
        return held

    def _head(self, start: int, end: int) -> Stretch:
        """The whole piece around it that has a key of its own."""
        start = start // _PIECE * _PIECE
        end = min(-(-end // _PIECE) * _PIECE, self.volume.head)
        for place in range(start, end, _PIECE):
            part = min(_PIECE, end - place)
            self._write(place, memoryview(self.volume.head_bytes(place, place + part)))
        return start, self._up(end, self.volume.after(-1))

    def _gaps(self, start: int, end: int, numbers: range) -> list[Stretch]:
        """What is zeros, and need not be written."""
        place, found = max(start, self.volume.head), []
        for number in numbers:
            run = self.volume.piece(number)
            if run.start > place:
                found.append((place, run.start))
            place = max(place, run.start + run.length)
        if place < end:
            found.append((place, self._up(end, self.volume.size)))
        return found

    def _frame(self, order: _Order, number: int, wanted: range) -> list[Stretch]:
        """Unpack a frame and write what it holds; what of the device is there now."""
        runs, good, done = order.of(number), _Chunks(self._shelf, order.locator, number), []
        places: dict[int, int] = {}
        for run in runs:
            chunk = self.volume.chunks[run]
            places[chunk] = places.get(chunk, 0) + 1
        for run in runs:
            piece = self.volume.piece(run)
            if run in wanted:
                data = good.needed(piece.chunk)
            elif places[piece.chunk] <= _MORE:
                data = good.welcome(piece.chunk)
            else:
                continue
            if data:  # else it only came along; whoever wants it learns what is wrong with it
                self._write(piece.start, memoryview(data)[piece.skip : piece.skip + piece.length])
                done.append(self._around(run))
        return done

    def _around(self, run: int) -> Stretch:
        """A run with the zeros around it that fill its first and last block."""
        piece = self.volume.piece(run)
        low = piece.start // BLOCK * BLOCK
        start = low if self.volume.before(run) <= low else piece.start
        return start, self._up(piece.start + piece.length, self.volume.after(run))

    def _up(self, end: int, next: int) -> int:
        """The end of its block, where nothing else begins in that; the device's last block may be short."""
        high = -(-end // BLOCK) * BLOCK
        return high if next >= min(high, self.volume.size) else end

    def _write(self, start: int, data: memoryview) -> None:
        while data:
            segment, offset = self._segments(start >> SHIFT), start & SEGMENT - 1
            part = data[: SEGMENT - offset]
            while part:
                done = os.pwrite(segment.fd, part, offset)
                part, data = part[done:], data[done:]
                start, offset = start + done, offset + done

    def _mark(self, start: int, end: int) -> None:
        first, last = -(-start // BLOCK), end // BLOCK
        for low, high in ((start, min(first * BLOCK, end)), (max(last * BLOCK, start), end)):
            if low < high:
                self._mark_part(low, high)
        while first < last:
            segment, offset = self._segments(first * BLOCK >> SHIFT), first % _BLOCKS
            count = min(last - first, _BLOCKS - offset)
            segment.mark(offset, offset + count)
            first += count

    def _mark_part(self, start: int, end: int) -> None:
        """Where two frames meet inside a block, it is here once both have been written."""
        block = start // BLOCK
        segment = self._segments(start >> SHIFT)
        with self._lock:
            known, parts = self._parts.get(block, (segment, []))
            parts = joined([*parts, (start, end)]) if known is segment else [(start, end)]
            if parts == [(block * BLOCK, (block + 1) * BLOCK)]:
                self._parts.pop(block, None)
                segment.mark(block % _BLOCKS, block % _BLOCKS + 1)
            else:
                self._parts[block] = (segment, parts)


class _Chunks:
    """The chunks of one frame, each checked when it is asked for."""

    def __init__(self, shelf: Shelf, locator: Locator, number: int) -> None:
        self._shelf, self._locator = shelf, locator
        try:
            self._raw = read_frame(locator, number, shelf.read_range)
        except BadInput:
            self._raw = b""  # its chunks are looked for one by one
        self._known: dict[int, bytes] = {}

    def welcome(self, number: int) -> bytes:
        """The chunk's bytes; empty when they are damaged."""
        if number not in self._known:
            place = self._locator.place(number)
            data = self._raw[place.inner : place.inner + place.length]
            whole = hashlib.sha256(data).digest() == self._locator.id(number)
            self._known[number] = data if whole else b""
        return self._known[number]

    def needed(self, number: int) -> bytes:
        """The chunk's bytes. Raises ChunkCorrupt when the store has no good copy."""
        data = self.welcome(number) or good_copy(self._shelf, self._locator.id(number))
        self._known[number] = data
        return data


def _ordered(volume: Volume, locator: Locator) -> _Order:
    if any(chunk >= len(locator) for chunk in volume.chunks):
        raise BadInput(f"locator {volume.id[:12]} is another version's; run `bootsrv image verify --repair`")
    frames = [locator.place(chunk).frame for chunk in volume.chunks]
    first = array("I", bytes(4 * (locator.frames + 1)))
    for frame in frames:
        first[frame + 1] += 1
    for number in range(locator.frames):
        first[number + 1] += first[number]
    return _Order(locator, array("I", sorted(range(len(frames)), key=frames.__getitem__)), first)


def joined(stretches: Iterable[Stretch]) -> list[Stretch]:
    """Sorted, and neighbours made one."""
    out: list[Stretch] = []
    for start, end in sorted(stretches):
        if out and start <= out[-1][1]:
            out[-1] = (out[-1][0], max(out[-1][1], end))
        elif start < end:
            out.append((start, end))
    return out
