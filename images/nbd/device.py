"""A version's device as one process serves it: which of its blocks are here, and bringing those that are not.

The looks are for an event loop: no system call, no lock. `bring` blocks and is for a thread.
"""

from __future__ import annotations

import threading
import time
from typing import NamedTuple

from images.nbd.cache import BLOCK, SEGMENT, SHIFT, Cache, Segment
from images.nbd.filling import Filler
from images.nbd.volume import Volume
from images.shelf import Shelf

_LOOK = 16 << 20  # bytes written between two looks at the cache's limit
_MOST = 256  # blocks brought at once (1 MiB): others wait for the thread as well


class Part(NamedTuple):
    """`length` bytes from `start` of an open segment."""

    segment: Segment
    start: int
    length: int


class Device:
    """`size` in bytes. Shared by all connections to this version in this process."""

    def __init__(self, shelf: Shelf, volume: Volume, cache: Cache) -> None:
        self.volume, self.size, self.id = volume, volume.size, volume.id
        self._cache = cache
        self._lock = threading.Lock()
        self.segments: dict[int, Segment] = {}
        self._filler = Filler(shelf, volume, self._segment)
        self._since_look = 0
        self.filled = 0  # bytes brought by this process

    def locate(self, offset: int, length: int) -> tuple[int | None, list[Part]]:
        """(the first block of these bytes that is not here, what comes before it; None: it is all of it)."""
        end, parts = offset + length, list[Part]()
        while offset < end:
            number, start = offset >> SHIFT, offset & SEGMENT - 1
            segment = self.segments.get(number)
            if segment is None:
                return offset // BLOCK, parts
            stop = min(end - (number << SHIFT), SEGMENT)
            found = segment.marks.find(b"\0", start // BLOCK, -(-stop // BLOCK))
            if found >= 0:
                return (number << SHIFT) // BLOCK + found, parts
            parts.append(Part(segment, start, stop - start))
            offset = (number << SHIFT) + stop
        return None, parts

    def key(self, block: int) -> tuple[int, int]:
        """Of blocks that come together."""
        return self._filler.key(block)

    def bring(self, block: int, end: int) -> None:
        """Bring that block, and those up to the byte `end` of the same request. Raises as `Filler.fill`."""
        self._segment(block * BLOCK >> SHIFT)  # another process may have brought it: then this opens it
        last = max(block + 1, min(-(-end // BLOCK), block + _MOST))
        if self.locate(block * BLOCK, min(last * BLOCK, self.size) - block * BLOCK)[0] is None:
            return
        written = self._filler.fill(block, last)
        with self._lock:
            self.filled += written
            self._since_look += written
            if self._since_look < _LOOK:
                return
            self._since_look = 0
        self._cache.trim()

    def tick(self) -> None:
        """Now and then: note which segments are in use, let go of those that were given up."""
        now = time.time()
        with self._lock:
            for number, segment in list(self.segments.items()):
                if segment.gone:
                    del self.segments[number]  # who still sends from it holds it open
                elif segment.touched:
                    segment.touched = False
                    segment.use(now)

    def _segment(self, number: int) -> Segment:
        with self._lock:
            found = self.segments.get(number)
            if found is None or found.gone:
                found = self.segments[number] = self._cache.segment(self.id, number)
                found.touched = True
            return found
