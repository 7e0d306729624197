"""The import's end of the walk (walking.py): starts its process and takes its batches.

Law: however the import ends, that process has ended by then, and no descriptor of its is left open.
"""

from __future__ import annotations

import marshal
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Generator, Iterable, Sequence
from pathlib import Path

from images.errors import ImageError
from images.importing import walking
from images.importing.walking import HEAD, Batch

_ERROR = 3  # errno, text, file: a batch of this one row is the end


def walk(
    source: Path, excludes: Iterable[str], whole: int, added: Sequence[str], idle: list[str],
    usual: dict[str, int],
) -> Generator[Batch, None, None]:  # fmt: skip
    """See walking.batches; who takes a batch closes its descriptors. `added` are patterns as `excludes` are;
    those that nothing matched are in `idle` at the end, and in `usual` how many names each of `excludes` left
    out. Raises ImageError when the process ends before it is done, and the OSError that it met.
    """
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            words = [str(theirs.fileno()), str(whole), os.fspath(source), str(len(added)), *added, *excludes]
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", walking.__name__, *words],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, pass_fds=[theirs.fileno()],
            )  # fmt: skip
        try:
            while (batch := _take(ours, source, process)).rows:
                yield batch
            left, found = marshal.loads(batch.data)  # noqa: S302 - of our own program
            idle += map(os.fsdecode, left)
            usual.update((os.fsdecode(each), count) for each, count in found)
        finally:
            ours.close()
            process.kill()  # it only reads
            process.wait()


def _take(way: socket.socket, source: Path, process: subprocess.Popen[bytes]) -> Batch:
    fds: list[int] = []
    try:
        head = b""
        while len(head) < HEAD.size:
            piece, more, _, _ = socket.recv_fds(way, HEAD.size - len(head), walking.FDS)
            fds += more
            head += piece or _ended(source, process)
        rows, size, count = HEAD.unpack(head)
        body = memoryview(bytearray(rows + size))
        place = 0
        while place < len(body):
            got = way.recv_into(body[place:])
            place += got or len(_ended(source, process))
        found = marshal.loads(body[:rows])  # noqa: S302 - of our own program
        if len(fds) != count:
            raise ImageError(f"reading {source}: descriptors were lost on the way (too many are open?)")
        if len(found) == 1 and len(found[0]) == _ERROR:
            raise OSError(*found[0])
    except BaseException:
        for fd in fds:
            os.close(fd)
        raise
    return Batch(found, body[rows:], fds)


def _ended(source: Path, process: subprocess.Popen[bytes]) -> bytes:
    code = process.wait()
    how = signal.Signals(-code).name if code < 0 else f"status {code}"
    raise ImageError(f"reading {source}: the process that reads ended with {how}")
