"""Reads files and says which do not hold what their entries say: several at once, in the order of the disk.

A file that lies in one run on a plain block device is read from the device itself: neighbours come in one
large request, past the page cache, and none of them stays open. Any other is read as a file. Law: nothing is
believed; a file is right when each byte of it was read and hashed. What is wrong or cannot be read is only
called wrong (as a seed it is read once more, as a file). Python 3.8, standard library only.
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
FILES = 384  # pieces that wait to be put in order
WAITING = 4 * READERS
BATCH = 16  # files that one thread reads one after the other; they are open, of 1,024 that may be


class File(NamedTuple):
    """A file to look into: `number` of its entry, and that of its directory."""

    number: int
    parent: int
    entry: Entry


class _Piece(NamedTuple):
    """Some chunks of a file, from `offset` in it; on the device at `where`, or of the open file `handle`. A
    file with holes is one piece without chunks.
    """

    file: File
    offset: int
    length: int
    chunks: tuple[Chunk, ...]
    where: int
    handle: int


class _Run(NamedTuple):
    """What one thread reads. `device`: from there, [start, end); None: each piece from its file."""

    device: int | None
    start: int
    end: int
    pieces: list[_Piece]


class Wrong(NamedTuple):
    """The numbers of a file, and its path: there may be a million."""

    number: int
    parent: int
    path: bytes


class Content:
    """Takes files, closes them, and collects those that are `wrong`."""

    def __init__(self) -> None:
        self.wrong: list[Wrong] = []
        self.right_files = 0
        self.right_bytes = 0
        self._placed: dict[int, list[_Piece]] = {}  # by device
        self._waiting = self._size = 0
        self._loose: list[_Piece] = []
        self._loose_size = 0
        self._under: dict[int, tuple[int, bool, int]] = {}  # by number: pieces to come, good so far, handle
        self._jobs: deque[tuple[_Run, Future[list[bool]]]] = deque()
        self._pool = ThreadPoolExecutor(READERS, thread_name_prefix="read")
        self._memory = threading.local()

    def add(self, file: File, handle: int, device: int | None) -> None:
        """`handle`: the open file. `device`: open for reading without cache, where the file system lies on it
        as it is.
        """
        entry = file.entry
        where = place(handle, entry.size) if device is not None and entry.extents is None else None
        pieces = list(_pieces(file, where, -1)) if where is not None else []
        if device is None or not pieces or max(piece.length for piece in pieces) > BUFFER - 2 * BLOCK:
            self._read_as_file(file, handle)
            return
        os.close(handle)
        self._under[file.number] = (len(pieces), True, -1)
        for piece in pieces:
            self._placed.setdefault(device, []).append(piece)
            self._waiting += 1
            self._size += piece.length
            if self._waiting >= FILES or self._size >= GATHER:
                self.flush()

    def _read_as_file(self, file: File, handle: int) -> None:
        pieces = list(_pieces(file, 0, handle))
        self._under[file.number] = (len(pieces), True, handle)
        for piece in pieces:
            self._loose.append(piece)
            self._loose_size += piece.length
            if len(self._loose) >= BATCH or self._loose_size >= BUFFER:
                self._flush_loose()

    def _flush_loose(self) -> None:
        if self._loose:
            self._submit(_Run(None, 0, 0, self._loose))
            self._loose, self._loose_size = [], 0

    def flush(self) -> None:
        """Hands all that waits to the threads."""
        placed, self._placed, self._waiting, self._size = self._placed, {}, 0, 0
        for device, pieces in placed.items():
            pieces.sort(key=lambda piece: piece.where)
            self._runs(device, pieces)
        self._flush_loose()

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
            file = piece.file
            left, so_far, handle = self._under[file.number]
            good = good and so_far
            if left > 1:
                self._under[file.number] = (left - 1, good, handle)
                continue
            del self._under[file.number]
            if handle >= 0:
                os.close(handle)
            if good:
                self.right_files += 1
                self.right_bytes += sum(chunk.length for chunk in file.entry.chunks)
            else:
                self.wrong.append(Wrong(file.number, file.parent, file.entry.path))

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
        for _, _, handle in self._under.values():
            if handle >= 0:
                os.close(handle)
        self._under.clear()

    def _read(self, run: _Run) -> list[bool]:
        """In a thread: whether each piece is right."""
        if run.device is None:
            return [_right(piece) for piece in run.pieces]
        room = getattr(self._memory, "room", None)
        if room is None:
            room = self._memory.room = mmap.mmap(-1, BUFFER)
        with memoryview(room)[: run.end - run.start] as view:
            try:
                end = run.start + os.preadv(run.device, [view], run.start)
            except OSError:  # a bad place
                end = 0
            return [
                piece.where + piece.length <= end and _hashed(view, run.start, piece) for piece in run.pieces
            ]


def _pieces(file: File, where: int, handle: int) -> Iterator[_Piece]:
    """Of no more than half a buffer, but for a larger chunk."""
    entry = file.entry
    if entry.extents is not None:
        yield _Piece(file, 0, entry.size, (), 0, handle)
        return
    offset = length = 0
    held: list[Chunk] = []
    for chunk in entry.chunks:
        if held and length + chunk.length > BUFFER // 2:
            yield _Piece(file, offset, length, tuple(held), where + offset, handle)
            offset, length, held = offset + length, 0, []
        held.append(chunk)
        length += chunk.length
    yield _Piece(file, offset, length, tuple(held), where + offset, handle)


def _hashed(view: memoryview, start: int, piece: _Piece) -> bool:
    at = piece.where - start
    for chunk in piece.chunks:
        if hashlib.sha256(view[at : at + chunk.length]).digest() != chunk.id:
            return False
        at += chunk.length
    return True


def _right(piece: _Piece) -> bool:
    """By reading the file."""
    handle, at = piece.handle, piece.offset
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
