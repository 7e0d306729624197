"""Import a directory: a chroot, an unpacked image, a mounted disk, the running system itself.

A file that changes while it is read is read again, three times at most; then the last reading is kept if it
is whole, and the version says so in its warnings.
"""

from __future__ import annotations

import glob
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from images.importing.intake import Intake
from images.manifest import Entry
from images.progress import Progress, silent
from images.store import ImageStore
from images.tree_reader import EXCLUDES, DataReader, check_root, read_tree, reread, stable
from images.versions import Version

_TRIES = 3


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


def take_tree(intake: Intake, source: Path, excludes: Iterable[str]) -> None:
    """Put the tree below `source` into an intake."""
    first: dict[tuple[int, int], bytes] = {}
    for found in read_tree(source, excludes):
        entry = found.entry
        if found.links > 1:
            if found.inode in first:
                intake.tree.link(entry.path, first[found.inode])
                continue
            first[found.inode] = entry.path
        if found.fd is not None:
            entry = _file(intake, entry, found.fd)
        intake.tree.add(entry)


def _itself(store: ImageStore, source: Path) -> list[str]:
    """A store that lies in what it takes in is left out, or it would swallow its own growing tail."""
    root, top = store.root.resolve(), source.resolve()
    return [glob.escape(f"/{root.relative_to(top)}")] if root.is_relative_to(top) else []


def _file(intake: Intake, entry: Entry, fd: int) -> Entry:
    for left in reversed(range(_TRIES)):
        chunks = intake.data(entry, DataReader(fd, entry).read)
        data = entry.size if entry.extents is None else sum(length for _, length in entry.extents)
        got = sum(chunk.length for chunk in chunks)
        if got == data and stable(fd, entry):
            return entry._replace(chunks=chunks)
        if left:
            entry = reread(fd, entry)
            if left == 1:  # the last try: no map of holes that may be wrong by the time it is used
                entry = entry._replace(extents=None)
    intake.warnings.append(f"{entry.name} kept changing while it was read")
    return entry._replace(chunks=chunks, size=got)
