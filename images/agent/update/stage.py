"""Everything that will be new is written beside its place first: on the same file system, whole, checked and
forced to disk, before a single name changes.

Each file system has one stage directory; in it, what goes to a path waits under a number. Law: a failure here
(server away, disk full) leaves the machine exactly as it was. Python 3.8, standard library only.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Dict, List, NamedTuple

from images.agent.update.compare import Differ
from images.agent.update.exchange import supported, sync_filesystem
from images.agent.update.folders import Folders
from images.agent.update.state import HOME
from images.ahead import Data
from images.errors import BadInput
from images.manifest import Entry
from images.progress import Progress
from images.sizes import human
from images.tree_writer import TreeWriter

BESIDE = b".bootsrv-push"  # at the top of a file system that does not hold our state directory
SPARE = 16 << 20  # bytes that stay free


class Staged(NamedTuple):
    """`name` in stage directory `folder` (path below the root) waits for `entry.path`; its inode."""

    entry: Entry
    folder: bytes
    name: bytes
    inode: int


class Stage:
    """Where things wait. `places`: stage directory of each fresh path."""

    def __init__(self, tree: Folders) -> None:
        self._tree = tree
        self._tops: Dict[bytes, bytes] = {}  # directory -> its stage directory

    def place_for(self, path: bytes) -> bytes:
        """The stage directory on the file system of `path`."""
        folder = path.rpartition(b"/")[0]
        if folder not in self._tops:
            top, device = self._tree.mount_top(folder)
            home = HOME.encode()
            own = (self._tree.root / HOME).stat().st_dev
            self._tops[folder] = (
                home + b"/stage" if device == own else (top + b"/" + BESIDE if top else BESIDE)
            )
        return self._tops[folder]

    def ready(self, folder: bytes) -> None:
        """Makes a stage directory that only takes things."""
        if self._tree.stat(folder) is None:
            self._path(folder).mkdir(mode=0o700)

    def clear(self, folder: bytes) -> None:
        """Removes a stage directory with all that waits in it."""
        where = Path(os.fsdecode(os.fsencode(self._tree.root) + b"/" + folder))
        if where.is_dir() and not where.is_symlink():
            shutil.rmtree(where)

    def make(self, fresh: Sequence[Differ], stream: Iterator[Data], progress: Progress) -> List[Staged]:
        """Stages all of `fresh`; `stream` gives their chunks in order. Raises OSError, BadInput."""
        folders = list(dict.fromkeys(self.place_for(differ.entry.path) for differ in fresh))
        total = sum(_data(differ.entry) for differ in fresh)
        for folder in folders:
            self._prepare(folder, fresh)
        writers = {f: TreeWriter(self._path(f), stream, _quiet, total) for f in folders}
        try:
            for writer in writers.values():
                writer.add(Entry(b"", "dir", mode=0o700))
            staged = self._write(fresh, writers, progress, total)
            for writer in writers.values():
                writer.finish()
        finally:
            for writer in writers.values():
                writer.close()
        for folder in folders:
            sync_filesystem(self._tree.open(folder))
        return staged

    def _write(
        self, fresh: Sequence[Differ], writers: Dict[bytes, TreeWriter], progress: Progress, total: int
    ) -> List[Staged]:
        names: Dict[bytes, Staged] = {}
        done = 0
        for number, differ in enumerate(fresh):
            entry, folder = differ.entry, self.place_for(differ.entry.path)
            name = b"%07d" % number
            if entry.type == "hardlink":
                self._link(entry, folder, name, names)
            else:
                writers[folder].add(entry._replace(path=name))
                done += _data(entry)
            inode = os.stat(name, dir_fd=self._tree.open(folder), follow_symlinks=False).st_ino
            names[entry.path] = Staged(entry, folder, name, inode)
            if not number % 50:
                progress(done, total, entry.name)
        progress(total, total, "")
        return list(names.values())

    def _link(self, entry: Entry, folder: bytes, name: bytes, names: Dict[bytes, Staged]) -> None:
        """Another name of what waits already, or of a file that stays."""
        target = names.get(entry.target)
        if target is not None:
            source, old = self._tree.open(target.folder), target.name
        else:
            source, old = self._tree.at(entry.target)
        try:
            os.link(old, name, src_dir_fd=source, dst_dir_fd=self._tree.open(folder), follow_symlinks=False)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            raise BadInput(
                f"{entry.name} and {Entry(entry.target, 'file').name} are one file in the image, but lie on"
                " different file systems here: exclude one of them"
            ) from error

    def _prepare(self, folder: bytes, fresh: Sequence[Differ]) -> None:
        self.clear(folder)
        self._tree.forget()
        path = self._path(folder)
        path.mkdir(mode=0o700)
        if not supported(self._tree.open(folder)):
            raise BadInput(f"the file system of {path.parent} cannot exchange two names in one step")
        need = sum(
            _data(differ.entry) + 4096 for differ in fresh if self.place_for(differ.entry.path) == folder
        )
        info = os.statvfs(path)
        free = info.f_bavail * info.f_frsize
        if free < need + SPARE:
            raise BadInput(f"{path.parent}: {human(need + SPARE)} needed, {human(free)} free")

    def _path(self, folder: bytes) -> Path:
        return Path(os.fsdecode(os.fsencode(self._tree.root) + b"/" + folder))


def _data(entry: Entry) -> int:
    return sum(chunk.length for chunk in entry.chunks)


def _quiet(done: int, total: object, what: str) -> None:
    """The writers' own progress: we tell it across all of them."""
