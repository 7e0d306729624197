"""Reads files and says which do not hold what their entries say: several at once, in the order of the disk.

A file that lies in one run on a plain block device is read from the device itself: neighbours come in one
large request, past the page cache. Any other is read as a file. Law: nothing is believed; a file is right
when each byte of it was read and hashed. What is wrong or cannot be read is only called wrong. Python 3.8,
standard library only.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

from images.agent.inplace.extents import place
from images.agent.update.content import holds
from images.manifest import Chunk, Entry

READERS = 6
BLOCK = 4096  # alignment of what is read past the cache
BUFFER = 2 << 20  # bytes read at once by one thread
GAP = 256 << 10  # between two files: rather read and dropped than asked for separately
GATHER = 24 << 20  # bytes that are put into the disk's order together
FILES = 384  # pieces that wait to be put in order; their files are open
WAITING = 4 * READERS


class File(NamedTuple):
    """A file to look into: `number` of its entry, that of its directory, and the open descriptor."""

    number: int
    parent: int
    handle: int
    entry: Entry


class _Piece(NamedTuple):
    """Some chunks of a file, from `offset` in it; on the device at `where`, if that is known. A file with
    holes is one piece without chunks.
    """

    file: File
    offset: int
    length: int
    chunks: tuple[Chunk, ...]
    where: int


class _Run(NamedTuple):
    """What one thread reads. `device`: from there, [start, end); None: each piece from its file."""

    device: int | None
    start: int
    end: int
    pieces: list[_Piece]


class Content:
    """Takes files, closes them, and collects those that are `wrong`."""

    def __init__(self) -> None:
        self.wrong: list[File] = []
        self.right_files = 0
        self.right_bytes = 0
        self._placed: dict[int, list[_Piece]] = {}  # by device
        self._loose: list[_Piece] = []
        self._waiting = self._size = 0
        self._open: dict[int, tuple[File, int, bool]] = {}  # by number: file, pieces to come, good so far
        self._jobs: deque[tuple[_Run, Future[list[bool]]]] = deque()
        self._pool = ThreadPoolExecutor(READERS, thread_name_prefix="read")
        self._memory = threading.local()

    def add(self, file: File, device: int | None) -> None:
        """`device`: open for reading without cache, where the file system lies on it as it is."""
        entry = file.entry
        where = place(file.handle, entry.size) if device is not None and entry.extents is None else None
        pieces = list(_pieces(file, where or 0))
        self._open[file.number] = (file, len(pieces), True)
        for piece in pieces:
            if device is None or where is None or piece.length > BUFFER - 2 * BLOCK:
                self._loose.append(piece)
            else:
                self._placed.setdefault(device, []).append(piece)
            self._waiting += 1
            self._size += piece.length
            if self._waiting >= FILES or self._size >= GATHER:
                self.flush()

    def flush(self) -> None:
        """Hands all that waits to the threads."""
        for device, pieces in self._placed.items():
            pieces.sort(key=lambda piece: piece.where)
            self._runs(device, pieces)
        self._placed = {}
        batch: list[_Piece] = []
        size = 0
        for piece in self._loose:
            batch.append(piece)
            size += piece.length
            if len(batch) >= 16 or size >= BUFFER:
                self._submit(_Run(None, 0, 0, batch))
                batch, size = [], 0
        if batch:
            self._submit(_Run(None, 0, 0, batch))
        self._loose, self._waiting, self._size = [], 0, 0

    def _runs(self, device: int, pieces: list[_Piece]) -> None:
        batch: list[_Piece] = []
        start = end = 0
        for piece in pieces:
            below, above = (piece.where // BLOCK) * BLOCK, -(-(piece.where + piece.length) // BLOCK) * BLOCK
            if batch and (below > end + GAP or above - start > BUFFER):
                self._submit(_Run(device, start, end, batch))
                batch = []
            if not batch:
                start = end = below
            end = max(above, end)
            batch.append(piece)
        if batch:
            self._submit(_Run(device, start, end, batch))

    def _submit(self, run: _Run) -> None:
        while len(self._jobs) >= WAITING:
            self._note(*self._jobs.popleft())
        self._jobs.append((run, self._pool.submit(self._read, run)))

    def _note(self, run: _Run, answer: Future[list[bool]]) -> None:
        for piece, good in zip(run.pieces, answer.result()):  # noqa: B905 - Python 3.8
            file, left, so_far = self._open[piece.file.number]
            good = good and so_far
            if left > 1:
                self._open[file.number] = (file, left - 1, good)
                continue
            del self._open[file.number]
            os.close(file.handle)
            if good:
                self.right_files += 1
                self.right_bytes += sum(chunk.length for chunk in file.entry.chunks)
            else:
                self.wrong.append(file)

    def finish(self) -> None:
        """Waits for all answers."""
        self.flush()
        while self._jobs:
            self._note(*self._jobs.popleft())

    def close(self) -> None:
        """Ends the threads; what was not read is closed, too."""
        for _, answer in self._jobs:
            answer.cancel()
        self._pool.shutdown()
        for file, _, _ in self._open.values():
            os.close(file.handle)
        self._open.clear()

    def _read(self, run: _Run) -> list[bool]:
        """In a thread: whether each piece is right."""
        view = self._block(run) if run.device is not None else None
        if view is None:
            return [_right(piece) for piece in run.pieces]
        with view:
            return [_hashed(view, run.start, piece) or _right(piece) for piece in run.pieces]

    def _block(self, run: _Run) -> memoryview | None:
        """The run's bytes; None when the device does not give them (a bad place, the end of an odd disk)."""
        room = getattr(self._memory, "room", None)
        if room is None:
            room = self._memory.room = mmap.mmap(-1, BUFFER)
        length = run.end - run.start
        view = memoryview(room)[:length]
        try:
            if os.preadv(run.device or 0, [view], run.start) == length:
                return view
        except OSError:  # then they are read through the file, which may do better
            view.release()
            return None
        view.release()
        return None


def _pieces(file: File, where: int) -> Iterator[_Piece]:
    """Of no more than half a buffer, but for a larger chunk."""
    entry = file.entry
    if entry.extents is not None:
        yield _Piece(file, 0, entry.size, (), 0)
        return
    offset = length = 0
    held: list[Chunk] = []
    for chunk in entry.chunks:
        if held and length + chunk.length > BUFFER // 2:
            yield _Piece(file, offset, length, tuple(held), where + offset)
            offset, length, held = offset + length, 0, []
        held.append(chunk)
        length += chunk.length
    yield _Piece(file, offset, length, tuple(held), where + offset)


def _hashed(view: memoryview, start: int, piece: _Piece) -> bool:
    at = piece.where - start
    for chunk in piece.chunks:
        if hashlib.sha256(view[at : at + chunk.length]).digest() != chunk.id:
            return False
        at += chunk.length
    return True


def _right(piece: _Piece) -> bool:
    """By reading the file."""
    handle, at = piece.file.handle, piece.offset
    try:
        if not piece.chunks:
            return holds(handle, piece.file.entry)
        for chunk in piece.chunks:
            if hashlib.sha256(os.pread(handle, chunk.length, at)).digest() != chunk.id:
                return False
            at += chunk.length
    except OSError:  # a bad place on the disk
        return False
    return True
