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
called wrong. Python 3.8, standard library only.
"""

from __future__ import annotations

import contextlib
import hashlib
import marshal
import mmap
import os
import queue
import socket
import struct
import sys
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, List, Optional, Tuple

from images.agent.update.content import holds
from images.agent.update.folders import DIR, FILE
from images.manifest import Chunk, Entry

HEAD = struct.Struct("<I")
READERS = 3
LOOKERS = 4
BUFFER = 2 << 20  # bytes read at once by one thread
Hole = Optional[Tuple[int, Tuple[Tuple[int, int], ...]]]
Piece = Tuple[int, bytes, List[int], bytes, Hole]
Run = Tuple[int, int, int, List[Piece]]
Answers = List["Future[bytes]"]


def send(way: socket.socket, what: Any) -> None:
    """One frame. Raises OSError."""
    body = marshal.dumps(what)
    way.sendall(HEAD.pack(len(body)) + body)


def receive(way: socket.socket) -> Any:
    """One frame; None at the end. Raises OSError."""
    head = _bytes(way, HEAD.size)
    if len(head) < HEAD.size:
        return None
    return marshal.loads(_bytes(way, HEAD.unpack(head)[0]))  # noqa: S302 - of our own program


def _bytes(way: socket.socket, size: int) -> bytearray:
    found = bytearray(size)
    view, place = memoryview(found), 0
    while place < size:
        got = way.recv_into(view[place:])
        if not got:
            return found[:0]
        place += got
    return found


class Reader:
    """Works for one comparison of the tree whose top is open as `root`."""

    def __init__(self, root: int) -> None:
        self._root = root
        self._memory = threading.local()

    def serve(self, way: socket.socket) -> None:
        """Until the other end is closed."""
        answers: queue.Queue[Answers | None] = queue.Queue()
        back = threading.Thread(target=_answer, args=(way, answers), daemon=True)
        back.start()
        with ThreadPoolExecutor(READERS) as readers, ThreadPoolExecutor(LOOKERS) as lookers:
            while (frame := receive(way)) is not None:
                directories, runs = frame
                for path in directories:
                    lookers.submit(self._look, path)
                answers.put([readers.submit(self._read, run) for run in runs])
        answers.put(None)
        back.join()

    def _look(self, path: bytes) -> None:
        """What cannot be looked at is left alone: who asked will see why."""
        with contextlib.suppress(OSError):
            handle = self._open(path, DIR)
            try:
                with os.scandir(handle) as names:
                    for name in names:
                        name.stat(follow_symlinks=False)
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

    def _read(self, run: Run) -> bytes:
        """In a thread: whether each piece is right."""
        device, start, end, pieces = run
        if device < 0:
            return bytes(self._right(piece) for piece in pieces)
        room = getattr(self._memory, "room", None)
        if room is None:
            room = self._memory.room = mmap.mmap(-1, BUFFER)
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
                size, extents = hole
                chunks = tuple(Chunk(ids[32 * n : 32 * n + 32], length) for n, length in enumerate(lengths))
                return holds(handle, Entry(path, "file", size=size, extents=extents, chunks=chunks))
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


def _hashed(view: memoryview, start: int, end: int, piece: Piece) -> bool:
    at, ids, lengths, _, _ = piece
    if at + sum(lengths) > end:
        return False
    at -= start
    for number, length in enumerate(lengths):
        if hashlib.sha256(view[at : at + length]).digest() != ids[32 * number : 32 * number + 32]:
            return False
        at += length
    return True


def _answer(way: socket.socket, answers: queue.Queue[Answers | None]) -> None:
    try:
        while (jobs := answers.get()) is not None:
            send(way, b"".join([job.result() for job in jobs]))
    except OSError:  # nobody wants to know any more
        return


def main() -> None:
    """`-c` MAIN, then: where this package is, descriptors of the socket and of the top directory."""
    with socket.socket(fileno=int(sys.argv[2])) as way, contextlib.suppress(ConnectionError):
        Reader(int(sys.argv[3])).serve(way)


MAIN = f"import sys; sys.path.insert(0, sys.argv[1]); from {__name__} import main; main()"
