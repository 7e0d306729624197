"""Whether a file on this machine holds what a manifest entry says, by reading it. Python 3.8, standard
library only."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterator

from images.manifest import Entry
from images.tree_reader import DataReader

STEP = 1 << 20


def holds(handle: int, entry: Entry) -> bool:
    """Every byte of the open file is the entry's, holes included."""
    if os.fstat(handle).st_size != entry.size:
        return False
    reader = DataReader(handle, entry)
    for chunk in entry.chunks:
        state, missing = hashlib.sha256(), chunk.length
        while missing:
            piece = reader.read(min(missing, STEP))
            if not piece:
                return False
            state.update(piece)
            missing -= len(piece)
        if state.digest() != chunk.id:
            return False
    return all(_empty(handle, start, end) for start, end in _gaps(entry))


def _gaps(entry: Entry) -> Iterator[tuple[int, int]]:
    place = 0
    for start, length in entry.extents or (() if entry.extents is not None else ((0, entry.size),)):
        if start > place:
            yield place, start
        place = start + length
    if place < entry.size:
        yield place, entry.size


def _empty(handle: int, start: int, end: int) -> bool:
    while start < end:
        try:
            start = os.lseek(handle, start, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:  # only a hole is left
                return True
            raise
        piece = os.pread(handle, min(STEP, max(0, end - start)), start)
        if any(piece):
            return False
        start += len(piece) or 1
    return True
