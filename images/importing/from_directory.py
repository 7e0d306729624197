"""Import a directory: a chroot, an unpacked image, a mounted disk, the running system itself.

A file that changes while it is read is read again, three times at most; then the last reading is kept if it
is whole, and the version says so in its warnings.
"""

from __future__ import annotations

import glob
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from threading import Event
from typing import Any, NamedTuple

from images.ahead import BATCH, ahead
from images.chunker import BUFFER, fill
from images.importing.intake import Intake
from images.manifest import Entry
from images.progress import Progress, silent
from images.store import ImageStore
from images.tree_reader import EXCLUDES, DataReader, check_root, read_tree, reread, stable
from images.versions import Version

_TRIES = 3
LARGE = BUFFER  # bytes from which on a file is not held as a whole
_NAME = 500  # bytes that an entry takes, about


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
        take_tree(intake, source, (*excludes, *_itself(store, source)))
        return intake.publish(name, comment, meta)


class _Taken(NamedTuple):
    """One name, and for a file its data; of a large one a descriptor, open until `done` is set."""

    entry: Entry
    inode: tuple[int, int]
    links: int
    data: bytes = b""
    fd: int | None = None
    done: Event | None = None
    stable: bool = True

    def weight(self) -> int:
        """In memory, about. A large file is handed over at once."""
        return len(self.data) + _NAME if self.fd is None else BATCH


def take_tree(intake: Intake, source: Path, excludes: Iterable[str]) -> None:
    """Put the tree below `source` into an intake: it is read in one thread, and stored in this one."""
    first: dict[tuple[int, int], bytes] = {}
    stop = Event()
    with closing(ahead(_read(source, excludes, stop), _Taken.weight)) as names:
        try:
            for taken in names:
                entry = taken.entry
                if taken.links > 1:
                    if taken.inode in first:
                        intake.tree.link(entry.path, first[taken.inode])
                        continue
                    first[taken.inode] = entry.path
                intake.tree.add(_stored(intake, taken))
        finally:
            stop.set()


def _read(source: Path, excludes: Iterable[str], stop: Event) -> Iterator[_Taken]:
    """Of several names of a file the first has its data."""
    seen: set[tuple[int, int]] = set()
    for found in read_tree(source, excludes):
        entry, inode, links = found.entry, found.inode, found.links
        if found.fd is None or (links > 1 and inode in seen):
            yield _Taken(entry, inode, links)
            continue
        if links > 1:
            seen.add(inode)
        small = _small(entry, found.fd)
        if small is not None:
            yield small._replace(inode=inode, links=links)
            continue
        done = Event()
        yield _Taken(entry, inode, links, fd=found.fd, done=done)
        while not done.wait(0.2) and not stop.is_set():
            pass


def _stored(intake: Intake, taken: _Taken) -> Entry:
    if taken.fd is not None and taken.done is not None:
        try:
            return _large(intake, taken.entry, taken.fd)
        finally:
            taken.done.set()
    if taken.entry.type != "file":
        return taken.entry
    if not taken.stable:
        _warn(intake, taken.entry)
    return taken.entry._replace(chunks=intake.whole(taken.entry, taken.data))


def _small(entry: Entry, fd: int) -> _Taken | None:
    """None when it is large, or becomes it."""
    for left in reversed(range(_TRIES)):
        if entry.size >= LARGE:
            return None
        data = fill(DataReader(fd, entry).read)
        if len(data) == _data(entry) and stable(fd, entry):
            return _Taken(entry, (0, 0), 1, data)
        if left:
            entry = _again(fd, entry, left)
    return _Taken(entry._replace(size=len(data)), (0, 0), 1, data, stable=False)


def _large(intake: Intake, entry: Entry, fd: int) -> Entry:
    for left in reversed(range(_TRIES)):
        chunks = intake.data(entry, DataReader(fd, entry).read)
        got = sum(chunk.length for chunk in chunks)
        if got == _data(entry) and stable(fd, entry):
            return entry._replace(chunks=chunks)
        if left:
            entry = _again(fd, entry, left)
    _warn(intake, entry)
    return entry._replace(chunks=chunks, size=got)


def _data(entry: Entry) -> int:
    return entry.size if entry.extents is None else sum(length for _, length in entry.extents)


def _again(fd: int, entry: Entry, left: int) -> Entry:
    """The entry of a file that changed. For the last try without a map of holes, which may be wrong by the
    time it is used.
    """
    entry = reread(fd, entry)
    return entry._replace(extents=None) if left == 1 else entry


def _warn(intake: Intake, entry: Entry) -> None:
    intake.warnings.append(f"{entry.name} kept changing while it was read")


def _itself(store: ImageStore, source: Path) -> list[str]:
    """A store that lies in what it takes in is left out, or it would swallow its own growing tail."""
    root, top = store.root.resolve(), source.resolve()
    return [glob.escape(f"/{root.relative_to(top)}")] if root.is_relative_to(top) else []
