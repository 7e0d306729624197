"""Has files read, in the order of the disk, and says which do not hold what their entries say.

A file that lies in one run on a plain block device is read from the device itself: neighbours come in one
large request, past the page cache. Any other is read as a file. A second process does it (reader.py). Law:
nothing is believed; a file is right when each byte of it was read and hashed. What is wrong or cannot be read
is only called wrong (as a seed it is read once more, as a file). Python 3.8, standard library only.
"""

from __future__ import annotations

import errno
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import images
from images.agent.inplace.extents import place
from images.agent.inplace.reader import BUFFER, MAIN, receive, send
from images.manifest import Chunk, Entry, data_size

if TYPE_CHECKING:
    from images.agent.inplace.reader import Piece, Run

BLOCK = 4096  # alignment of what is read past the cache
LARGEST = BUFFER - 2 * BLOCK  # piece that is read at once, wherever it begins
GAP = 256 << 10  # between two files: rather read and dropped than asked for separately
GATHER = 32 << 20  # bytes that are put into the disk's order together
FIRST, FILES = 64, 1024  # pieces that wait to be put in order: at first, and later
BATCH = 16  # files that one thread reads one after the other
WAITING = 4  # frames whose answer is awaited


class File(NamedTuple):
    """A file to look into: `number` of its entry, and that of its directory."""

    number: int
    parent: int
    entry: Entry


class Wrong(NamedTuple):
    """The numbers of a file, and its path: there may be a million."""

    number: int
    parent: int
    path: bytes


class Content:
    """Takes files, and collects those that are `wrong`."""

    def __init__(self, root: int, devices: Iterable[int]) -> None:
        """`root`: the open top of the tree; `devices`: that files may lie on, open for reading without
        cache. Raises OSError.
        """
        self.wrong: list[Wrong] = []
        self.right_files = 0
        self.right_bytes = 0
        self._placed: dict[int, list[tuple[Piece, int]]] = {}  # by device: with the number of its entry
        self._loose: list[tuple[Piece, int]] = []
        self._limit = FIRST
        self._waiting = self._size = 0
        self._ahead: list[bytes] = []  # directories
        self._under: dict[int, tuple[File, int, bool]] = {}  # by number: pieces to come, good so far
        self._frames: deque[list[int]] = deque()  # of those under way: numbers, by piece
        self._way, theirs = socket.socketpair()
        with theirs:
            here = str(Path(next(iter(images.__path__))).parent)
            words = [sys.executable, "-I", "-S", "-B", "-c", MAIN, here, str(theirs.fileno()), str(root)]
            self._process = subprocess.Popen(
                words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno(), root, *devices],
            )  # fmt: skip

    def look_ahead(self, directories: Sequence[bytes]) -> None:
        """These will be asked for soon, in this order."""
        self._ahead.extend(directories)

    def add(self, file: File, handle: int, device: int | None) -> None:
        """`handle`: the open file. `device`: where the file system lies on it as it is. Raises OSError."""
        entry = file.entry
        where = place(handle, entry.size) if device is not None and entry.extents is None else None
        if where is not None and device is not None and len(entry.chunks) == 1 and entry.size <= LARGEST:
            ((id, length),) = entry.chunks  # as most are
            self._under[file.number] = (file, 1, True)
            self._placed.setdefault(device, []).append(((where, id, [length], b"", None), file.number))
            self._count(length)
            return
        pieces = list(_pieces(entry, where or 0))
        self._under[file.number] = (file, len(pieces), True)
        loose = device is None or where is None or max(sum(piece[2]) for piece in pieces) > LARGEST
        for piece in pieces:
            if loose or device is None:
                self._loose.append((_as_file(piece, entry, where or 0), file.number))
            else:
                self._placed.setdefault(device, []).append((piece, file.number))
            self._count(sum(piece[2]))

    def _count(self, size: int) -> None:
        """One piece more waits."""
        self._waiting += 1
        self._size += size
        if self._waiting >= self._limit or self._size >= GATHER:
            self.flush()

    def flush(self) -> None:
        """Hands over all that waits."""
        runs: list[Run] = []
        numbers: list[int] = []
        for device, pieces in self._placed.items():
            pieces.sort()
            runs += _runs(device, [piece for piece, _ in pieces])
            numbers += [number for _, number in pieces]
        runs += _batches([piece for piece, _ in self._loose])
        numbers += [number for _, number in self._loose]
        while len(self._frames) >= WAITING:
            self._note()
        try:
            send(self._way.fileno(), (self._ahead, runs))
        except OSError as error:
            raise self._ended() from error
        self._frames.append(numbers)
        self._placed, self._loose, self._ahead, self._waiting, self._size = {}, [], [], 0, 0
        self._limit = min(FILES, self._limit * 2)

    def _note(self) -> None:
        """Takes the answer to one frame."""
        answer = receive(self._way.fileno())
        if answer is None:
            raise self._ended()
        for number, good in zip(self._frames.popleft(), answer):  # noqa: B905 - Python 3.8
            file, left, so_far = self._under[number]
            good = bool(good) and so_far
            if left > 1:
                self._under[number] = (file, left - 1, good)
                continue
            del self._under[number]
            if good:
                self.right_files += 1
                self.right_bytes += data_size(file.entry)
            else:
                self.wrong.append(Wrong(number, file.parent, file.entry.path))

    def _ended(self) -> OSError:
        return OSError(errno.EIO, f"the process that reads the disk ended with {self._process.wait()}")

    def finish(self) -> None:
        """Waits for all answers. Raises OSError."""
        self.flush()
        while self._frames:
            self._note()

    def close(self) -> None:
        """Ends the process."""
        self._way.close()
        self._process.kill()  # it only reads
        self._process.wait()


def _pieces(entry: Entry, where: int) -> Iterator[Piece]:
    """Of no more than half a buffer, but for a larger chunk."""
    if entry.extents is not None:
        yield (0, *_flat(entry.chunks), entry.path, (entry.size, entry.extents))
        return
    length = 0
    held: list[Chunk] = []
    for chunk in entry.chunks:
        if held and length + chunk.length > BUFFER // 2:
            yield (where, *_flat(held), b"", None)
            where, length, held = where + length, 0, []
        held.append(chunk)
        length += chunk.length
    yield (where, *_flat(held), b"", None)


def _flat(chunks: Sequence[Chunk]) -> tuple[bytes, list[int]]:
    return b"".join([chunk.id for chunk in chunks]), [chunk.length for chunk in chunks]


def _as_file(piece: Piece, entry: Entry, where: int) -> Piece:
    at, ids, lengths, _, hole = piece
    return at - where, ids, lengths, entry.path, hole


def _runs(device: int, pieces: Sequence[Piece]) -> Iterator[Run]:
    batch: list[Piece] = []
    start = end = 0
    for piece in pieces:
        place, length = piece[0], sum(piece[2])
        below, above = (place // BLOCK) * BLOCK, -(-(place + length) // BLOCK) * BLOCK
        if batch and (below > end + GAP or above - start > BUFFER):
            yield device, start, end, batch
            batch = []
        if not batch:
            start = end = below
        end = max(above, end)
        batch.append(piece)
    if batch:
        yield device, start, end, batch


def _batches(pieces: Sequence[Piece]) -> Iterator[Run]:
    batch: list[Piece] = []
    size = 0
    for piece in pieces:
        batch.append(piece)
        size += sum(piece[2])
        if len(batch) >= BATCH or size >= BUFFER:
            yield -1, 0, 0, batch
            batch, size = [], 0
    if batch:
        yield -1, 0, 0, batch
