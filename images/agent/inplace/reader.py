"""The process that reads the disk for a comparison: it hashes what it is told to, and looks at directories
ahead of who asked, so that their inodes are in memory by then. A process of its own, because the walk and the
hashing would hold each other up in one interpreter.

Frames on a socket, both ways: a length (4 bytes), then marshal. In come

    (directories, runs)     a run is (device, start, end, pieces): descriptor and stretch of a device; or
                            (-1, 0, 0, pieces): each from its file
    pieces                  (place, ids, lengths, path, hole): byte of the device or file, chunks' ids in one
                            string, their lengths; a file with holes is one piece, `hole` its (size, extents)

and for each of them goes out, in the same order, a byte for each piece: 1 when every byte of it was read and
hashed to its ids. Law: nothing is written, no link is followed. What is wrong or cannot be read is only
called wrong. Python 3.8, standard library only, and little of that: the walk is on its way meanwhile, and
what it comes to first waits for this process to start.
"""

from __future__ import annotations

import hashlib
import marshal
import mmap
import os
import queue
import struct
import sys
import threading

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, List, Optional, Tuple

    Hole = Optional[Tuple[int, Tuple[Tuple[int, int], ...]]]
    Piece = Tuple[int, bytes, List[int], bytes, Hole]
    Run = Tuple[int, int, int, List[Piece]]

HEAD = struct.Struct("<I")
READERS = 3
LOOKERS = 4
INODES = 16  # in a block of the disk, as file systems are made
BUFFER = 2 << 20  # bytes read at once by one thread
DIR = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


def send(way: int, what: Any) -> None:
    """One frame. Raises OSError."""
    body = marshal.dumps(what)
    view = memoryview(HEAD.pack(len(body)) + body)
    while view:
        view = view[os.write(way, view) :]


def receive(way: int) -> Any:
    """One frame; None at the end. Raises OSError."""
    head = _bytes(way, HEAD.size)
    if len(head) < HEAD.size:
        return None
    return marshal.loads(_bytes(way, HEAD.unpack(head)[0]))  # noqa: S302 - of our own program


def _bytes(way: int, size: int) -> bytearray:
    found = bytearray(size)
    view, place = memoryview(found), 0
    while place < size:
        got = os.readv(way, [view[place:]])
        if not got:
            return found[:0]
        place += got
    return found


class Frame:
    """What one frame asked for, and what of it is known."""

    def __init__(self, runs: List[Run]) -> None:
        self.runs = runs
        self.answers: List[bytes] = [b""] * len(runs)
        self.left = len(runs)
        self.known = threading.Event()


class Reader:
    """Works for one comparison of the tree whose top is open as `root`."""

    def __init__(self, root: int) -> None:
        self._root = root
        self._lock = threading.Lock()
        self._runs: queue.SimpleQueue[tuple[Frame, int]] = queue.SimpleQueue()
        self._directories: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._frames: queue.SimpleQueue[Frame | None] = queue.SimpleQueue()

    def serve(self, way: int) -> None:
        """Until the other end is closed. Its threads end with the process."""
        back = _begin(self._answer, way)
        for _ in range(READERS):
            _begin(self._read_all)
        for _ in range(LOOKERS):
            _begin(self._look_at_all)
        while (asked := receive(way)) is not None:
            directories, runs = asked
            for path in directories:
                self._directories.put(path)
            frame = Frame(runs)
            self._frames.put(frame)
            for number in range(len(runs)):
                self._runs.put((frame, number))
        self._frames.put(None)
        back.join()

    def _answer(self, way: int) -> None:
        try:
            while (frame := self._frames.get()) is not None:
                if frame.runs:
                    frame.known.wait()
                send(way, b"".join(frame.answers))
        except OSError:  # nobody wants to know any more
            return

    def _read_all(self) -> None:
        with mmap.mmap(-1, BUFFER) as room:
            while True:
                frame, number = self._runs.get()
                frame.answers[number] = self._read(frame.runs[number], room)
                with self._lock:
                    frame.left -= 1
                if not frame.left:
                    frame.known.set()

    def _look_at_all(self) -> None:
        while True:
            self._look(self._directories.get())

    def _look(self, path: bytes) -> None:
        """What cannot be looked at is left alone: who asked will see why."""
        try:
            handle = self._open(path, DIR)
        except OSError:
            return
        try:
            with os.scandir(handle) as names:
                seen = set()
                for name in names:
                    block = name.inode() // INODES
                    if block not in seen:  # one brings its neighbours
                        seen.add(block)
                        name.stat(follow_symlinks=False)
        except OSError:
            return
        finally:
            os.close(handle)

    def _open(self, path: bytes, flags: int) -> int:
        handle = os.dup(self._root)
        *folders, name = path.split(b"/")
        try:
            for folder in folders:
                handle, above = os.open(folder, DIR, dir_fd=handle), handle
                os.close(above)
            return os.open(name or b".", flags, dir_fd=handle)
        finally:
            os.close(handle)

    def _read(self, run: Run, room: mmap.mmap) -> bytes:
        """In a thread: whether each piece is right."""
        device, start, end, pieces = run
        if device < 0:
            return bytes(self._right(piece) for piece in pieces)
        with memoryview(room)[: end - start] as view:
            try:
                end = start + os.preadv(device, [view], start)
            except OSError:  # a bad place
                end = start
            return bytes(_hashed(view, start, end, piece) for piece in pieces)

    def _right(self, piece: Piece) -> bool:
        """By reading the file."""
        at, ids, lengths, path, hole = piece
        try:
            handle = self._open(path, FILE)
        except OSError:
            return False
        try:
            if hole is not None:
                return _with_holes(handle, piece)
            for number, length in enumerate(lengths):
                id = ids[32 * number : 32 * number + 32]
                if hashlib.sha256(os.pread(handle, length, at)).digest() != id:
                    return False
                at += length
        except OSError:  # a bad place on the disk
            return False
        finally:
            os.close(handle)
        return True


def _with_holes(handle: int, piece: Piece) -> bool:
    from images.agent.update.content import holds  # only here: most disks have no such file
    from images.manifest import Chunk, Entry

    _, ids, lengths, path, hole = piece
    assert hole is not None
    size, extents = hole
    chunks = tuple(Chunk(ids[32 * n : 32 * n + 32], length) for n, length in enumerate(lengths))
    return holds(handle, Entry(path, "file", size=size, extents=extents, chunks=chunks))


def _hashed(view: memoryview, start: int, end: int, piece: Piece) -> bool:
    at, ids, lengths, _, _ = piece
    if at + sum(lengths) > end:
        return False
    at -= start
    if len(lengths) == 1:  # as most have
        return hashlib.sha256(view[at : at + lengths[0]]).digest() == ids
    for number, length in enumerate(lengths):
        if hashlib.sha256(view[at : at + length]).digest() != ids[32 * number : 32 * number + 32]:
            return False
        at += length
    return True


def _begin(work: Any, *words: Any) -> threading.Thread:
    """A thread whose failure is the process's: who asked would wait for ever for an answer."""

    def run() -> None:
        try:
            work(*words)
        except BaseException:
            sys.excepthook(*sys.exc_info())
            os._exit(1)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread


def main() -> None:
    """`-c` MAIN, then: where this package is, descriptors of the socket and of the top directory."""
    try:
        Reader(int(sys.argv[3])).serve(int(sys.argv[2]))
    except ConnectionError:  # nobody wants to know any more
        return


MAIN = f"import sys; sys.path.insert(0, sys.argv[1]); from {__name__} import main; main()"
