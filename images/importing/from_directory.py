"""Import a directory: a chroot, an unpacked image, a mounted disk, the running system itself.

The walk and the small files are another process's work (walking.py), reading what is larger is a thread's:
here everything is cut, hashed, and handed to the store. A file that kept changing while it was read is named
in the version's warnings.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from threading import Event
from typing import Any, NamedTuple

from images import chunker
from images.ahead import BATCH, ahead
from images.importing.intake import Intake
from images.importing.steady import TRIES, again, read_whole
from images.importing.walked import walk
from images.importing.walking import Batch, Row
from images.manifest import Entry, data_size
from images.patterns import idle_warnings, usual_warnings
from images.progress import Progress, silent
from images.store import ImageStore
from images.tree_reader import EXCLUDES, DataReader, check_root, stable
from images.versions import Version

LARGE = chunker.BUFFER  # bytes from which on a file is not held as a whole
_NAME = 500  # bytes that a row takes, about


def import_directory(
    store: ImageStore,
    name: str,
    source: Path,
    comment: str = "",
    meta: Mapping[str, Any] | None = None,
    excludes: Iterable[str] = EXCLUDES,
    progress: Progress = silent,
) -> Version:
    """Make the tree below `source` the next version of `name`. Raises BadInput, OSError."""
    check_root(source)
    with Intake(store, progress) as intake:
        given = dict.fromkeys(excludes)
        usual, added = (
            [each for each in given if (each in EXCLUDES) is known] for known in (True, False)
        )
        idle, found = take_tree(intake, source, [*usual, *_itself(store, source)], added)
        told = {each: count for each, count in found.items() if each in EXCLUDES}
        intake.warnings += usual_warnings(told, "--all keeps them") + idle_warnings(idle)
        return intake.publish(name, comment, meta)


class _Rows(NamedTuple):
    """Names that are whole; the data of their small files, back to back."""

    rows: list[Row]
    data: memoryview

    def weight(self) -> int:
        """Bytes in memory, about."""
        return len(self.data) + _NAME * len(self.rows)


class _File(NamedTuple):
    """A file that is not small: all its data; or a descriptor, open until `done` is set."""

    entry: Entry
    inode: tuple[int, int] | None
    data: bytes = b""
    steady: bool = True
    fd: int | None = None
    done: Event | None = None

    def weight(self) -> int:
        """In memory, about. One that is not held as a whole is handed over at once."""
        return len(self.data) if self.fd is None else BATCH


def take_tree(
    intake: Intake, source: Path, excludes: Iterable[str], added: Sequence[str] = ()
) -> tuple[list[str], dict[str, int]]:
    """Put the tree below `source` into an intake, without what `excludes` and `added` match; those of `added`
    that match nothing, and how many names each of `excludes` left out. Raises OSError, ImageError.
    """
    idle: list[str] = []
    usual: dict[str, int] = {}
    first: dict[tuple[int, int], bytes] = {}
    stop = Event()
    found = _read(walk(source, excludes, chunker.WHOLE, added, idle, usual), stop)
    with closing(ahead(found, lambda item: item.weight())) as items:
        try:
            for item in items:
                if isinstance(item, _Rows):
                    _take_rows(intake, item, first)
                else:
                    _take_file(intake, item, first)
        finally:
            stop.set()
    return idle, usual


def _read(batches: Generator[Batch, None, None], stop: Event) -> Iterator[_Rows | _File]:
    """What comes from the walk, the files whose descriptors it sent opened up. In the manifest's order."""
    with closing(batches):
        for rows, data, fds in batches:
            view = memoryview(data)
            if not fds:
                yield _Rows(rows, view)
                continue
            try:
                yield from _mixed(rows, view, fds, stop)
            finally:
                for fd in fds:
                    os.close(fd)


def _mixed(rows: list[Row], data: memoryview, fds: list[int], stop: Event) -> Iterator[_Rows | _File]:
    whole: list[Row] = []
    start = end = 0
    for row in rows:
        if row[3]:
            whole.append(row)
            end += row[6]
            continue
        if whole:
            yield _Rows(whole, data[start:end])
            whole, start = [], end
        yield from _opened(row, fds[0], stop)
        os.close(fds.pop(0))
    if whole:
        yield _Rows(whole, data[start:])


def _opened(row: Row, fd: int, stop: Event) -> Iterator[_File]:
    entry = Entry._make(row[7])
    got = read_whole(entry, fd, LARGE - 1)
    if got is not None:
        entry, data, steady = got
        yield _File(entry, row[4], data, steady)
        return
    done = Event()
    yield _File(entry, row[4], fd=fd, done=done)
    while not done.wait(0.2) and not stop.is_set():
        pass


def _take_rows(intake: Intake, found: _Rows, first: dict[tuple[int, int], bytes]) -> None:
    data, place = found.data, 0
    take, add = intake.session.take, intake.tree.add_line
    for path, kind, target, line, inode, id, length, steady in found.rows:
        if inode is not None and inode in first:
            intake.tree.link(path, first[inode])
            continue
        if inode is not None:
            first[inode] = path
        if id:
            piece = bytes(data[place : place + length])  # not a view, with which all of the batch would stay
            place += length
            if intake.telling(path):
                intake.look(path, piece)
            take(id, piece)
        add(path, kind, target, line)
        if not steady:
            _warn(intake, path)
    intake.came(place, path)


def _take_file(intake: Intake, file: _File, first: dict[tuple[int, int], bytes]) -> None:
    entry = file.entry
    if file.inode is not None:
        first[file.inode] = entry.path
    if file.fd is not None and file.done is not None:
        try:
            entry = _large(intake, entry, file.fd)
        finally:
            file.done.set()
    else:
        entry = entry._replace(chunks=intake.whole(entry, file.data))
        if not file.steady:
            _warn(intake, entry.path)
    intake.tree.add(entry)


def _large(intake: Intake, entry: Entry, fd: int) -> Entry:
    for left in reversed(range(TRIES)):
        chunks = intake.data(entry, DataReader(fd, entry).read)
        got = sum(chunk.length for chunk in chunks)
        if got == data_size(entry) and stable(fd, entry):
            return entry._replace(chunks=chunks)
        if left:
            entry = again(fd, entry, left)
    _warn(intake, entry.path)
    return entry._replace(chunks=chunks, size=got)


def _warn(intake: Intake, path: bytes) -> None:
    intake.warnings.append(f"{Entry(path, 'file').name} kept changing while it was read")


def _itself(store: ImageStore, source: Path) -> list[str]:
    """A store that lies in what it takes in is left out, or it would swallow its own growing tail."""
    root, top = store.root.resolve(), source.resolve()
    return [glob.escape(f"/{root.relative_to(top)}")] if root.is_relative_to(top) else []
