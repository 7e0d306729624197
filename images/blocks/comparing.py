"""What a disk holds of a disk image already: read and hashed, several places at once, nothing changed.

A disk that never held the image is told by a sample, so that a first imaging does not read it all. Law: a
chunk is right when its bytes were read and hashed, a hole when it reads as zeros. Python 3.8, standard
library only.
"""

from __future__ import annotations

import hashlib
import os
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

from images.blocks.regions import read_regions, shape_of
from images.blocks.writing import Found, gaps, placed
from images.manifest import Entry, Header
from images.progress import Progress, silent

READERS = 4
STEP = 1 << 20  # bytes of zeros that are looked at together
SAMPLE = 48  # chunks
WORTH = 8  # one of so many right, and the whole disk is read
_ZEROS = bytes(STEP)


class _Part(NamedTuple):
    """A place to look at: of a chunk with that id, or (None) of zeros."""

    id: bytes | None
    ranges: list[tuple[int, int]]
    length: int


def compare_disk(header: Header, entries: Iterable[Entry], fd: int, progress: Progress = silent) -> Found:
    """What of the image the open disk holds. Raises BadInput, OSError."""
    right, same, done = bytearray(), 0, 0
    zeros: list[tuple[int, int]] = []
    jobs: deque[tuple[_Part, Future[bool]]] = deque()

    def note() -> None:
        nonlocal same, done
        part, job = jobs.popleft()
        good = job.result()
        if part.id is None:
            if not good:
                zeros.extend(part.ranges)
            return
        right.append(good)
        done += part.length
        same += part.length if good else 0
        progress(done, header.bytes, "compared")

    with ThreadPoolExecutor(READERS, thread_name_prefix="disk") as pool:
        for part in _parts(header, entries):
            jobs.append((part, pool.submit(_holds, fd, part)))
            if len(jobs) > 4 * READERS:
                note()
        while jobs:
            note()
    return Found(right, zeros, same)


def looks_known(header: Header, entries: Iterable[Entry], fd: int) -> bool:
    """Whether a sample, spread evenly, finds enough of the image to read the whole disk."""
    share, passed, taken, good = header.bytes // SAMPLE, 0, 0, 0
    for part in _parts(header, entries):
        if part.id is None:
            continue
        passed += part.length
        if passed >= taken * share:
            taken += 1
            good += _holds(fd, part)
    return good * WORTH >= max(taken, 1)


def _parts(header: Header, entries: Iterable[Entry]) -> Iterator[_Part]:
    shape = shape_of(header)
    place = 0
    for offset, entry in read_regions(header, entries):
        for chunk, ranges in placed(entry):
            there = [(offset + at, length) for at, length in ranges]
            for start, length in there:
                yield from _empty(place, start, shape)
                place = start + length
            yield _Part(chunk.id, there, chunk.length)
    yield from _empty(place, shape["size"], shape)


def _empty(start: int, end: int, shape: Mapping[str, Any]) -> Iterator[_Part]:
    for low, high in gaps(start, end, shape["free"]):
        for at in range(low, high, STEP):
            yield _Part(None, [(at, min(STEP, high - at))], 0)


def _holds(fd: int, part: _Part) -> bool:
    if part.id is None:
        at, length = part.ranges[0]
        return os.pread(fd, length, at) == _ZEROS[:length]
    state = hashlib.sha256()
    for at, length in part.ranges:
        state.update(os.pread(fd, length, at))
    return state.digest() == part.id
