"""The walk of an import, in a process of its own (`python -m images.importing.walking FD`): it finds every
name, reads and hashes the small files, and writes all lines of the manifest but those of large files.

A tree of many small files is bound by what an interpreter does for each name, and an interpreter does one
thing at a time; so one finds and reads while the other packs. Large files go as open descriptors.

On the socket, for each batch: its head, with the descriptors; its rows (marshal: both ends are one program);
the bytes of its small files. Then a batch without rows, whose bytes (marshal) are the patterns that nothing
matched, and how many names each of the others left out; or, after an OSError, what it says.
Law: knows nothing of the store, and writes nothing but to its socket.
"""

from __future__ import annotations

import hashlib
import marshal
import os
import signal
import socket
import struct
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from images.importing.steady import read_whole
from images.manifest import Chunk, Entry, data_size, write_entry
from images.patterns import Idle, Tally
from images.tree_reader import read_tree

HEAD = struct.Struct(">IIB")  # bytes of rows, bytes of data, descriptors
BATCH = 256 << 10  # bytes of data and names
FDS = 60  # descriptors in a batch; the kernel takes 253 at once
_LINE = 200  # bytes that a row takes, about

# path, type, target, line of the manifest; (device, inode) where it has several names; id and length of the
# only chunk (b"" and 0: no data); whether it held still while it was read. A large file has no line yet, and
# its entry in the place of the last: its descriptor is the next of the batch.
Row = tuple[bytes, str, bytes, bytes, "tuple[int, int] | None", bytes, int, Any]


class Batch(NamedTuple):
    """Names in the manifest's order. `data` is that of the small files back to back; who takes the batch
    closes `fds`.
    """

    rows: list[Row]
    data: bytes | memoryview
    fds: list[int]


def batches(
    source: bytes, excludes: Iterable[str], whole: int, left_out: Callable[[str], None] | None = None
) -> Iterator[Batch]:
    """The tree below `source`; files of up to `whole` bytes are small. Of several names of a file the first
    has its data. `left_out` as for read_tree. Raises OSError.
    """
    rows: list[Row] = []
    parts: list[bytes] = []
    fds: list[int] = []
    seen: set[tuple[int, int]] = set()
    size = 0
    try:
        for entry, fd, inode, links in read_tree(
            os.fsdecode(source), excludes, left_out=left_out
        ):
            key = None if links == 1 else inode
            if fd is None or (key is not None and key in seen):
                rows.append((entry.path, entry.type, entry.target, write_entry(entry), key, b"", 0, True))
                size += _LINE
            else:
                if key is not None:
                    seen.add(key)
                got = read_whole(entry, fd, whole) if data_size(entry) <= whole else None
                if got is None:
                    fds.append(os.dup(fd))
                    rows.append((entry.path, "file", b"", b"", key, b"", 0, tuple(entry)))
                    size += _LINE
                else:
                    row, data = _small(*got, key)
                    rows.append(row)
                    parts.append(data)
                    size += len(data) + _LINE
            if size >= BATCH or len(fds) >= FDS:
                batch = Batch(rows, b"".join(parts), fds)
                rows, parts, fds, size = [], [], [], 0
                yield batch
        if rows:
            batch = Batch(rows, b"".join(parts), fds)
            fds = []
            yield batch
    finally:
        for fd in fds:
            os.close(fd)


def _small(entry: Entry, data: bytes, steady: bool, key: tuple[int, int] | None) -> tuple[Row, bytes]:
    id = b""
    if data:
        id = hashlib.sha256(data).digest()
        entry = Entry._make((*entry[:-1], (Chunk(id, len(data)),)))
    return (entry.path, "file", b"", write_entry(entry), key, id, len(data), steady), data


def _send(way: socket.socket, rows: list[Any], data: bytes | memoryview, fds: list[int]) -> None:
    body = marshal.dumps(rows)
    head = HEAD.pack(len(body), len(data), len(fds))
    if fds:
        socket.send_fds(way, [head], fds)
    else:
        way.sendall(head)
    way.sendall(b"".join((body, data)))


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's goes to the import, which ends us
    number, whole, source, count, *excludes = sys.argv[1:]
    idle, usual = Idle(excludes[: int(count)]), Tally(excludes[int(count) :])

    def left_out(path: str) -> None:
        idle.heard(path)
        usual.heard(path)

    with socket.socket(fileno=int(number)) as way:
        try:
            _walk(way, batches(os.fsencode(source), excludes, int(whole), left_out), idle, usual)
        except ConnectionError:
            sys.exit(1)  # the import ended before us


def _walk(way: socket.socket, made: Iterator[Batch], idle: Idle, usual: Tally) -> None:
    try:
        for batch in made:
            try:
                _send(way, *batch)
            finally:
                for fd in batch.fds:
                    os.close(fd)
    except ConnectionError:
        raise
    except OSError as error:
        _send(way, [(error.errno, error.strerror, error.filename)], b"", [])
    else:
        left, found = [os.fsencode(each) for each in idle.left], usual.found.items()
        _send(way, [], marshal.dumps((left, [(os.fsencode(each), count) for each, count in found])), [])


if __name__ == "__main__":
    main()
