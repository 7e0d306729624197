"""Everything that will be new is written beside its place first: on the same file system, whole, checked and
forced to disk, before a single name changes.

Each file system has one stage directory; in it, what goes to a path waits under a number. Law: a failure here
(server away, disk full) leaves the machine exactly as it was. Python 3.8, standard library only.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional, Tuple

from images.agent.update.exchange import supported, sync_filesystem
from images.agent.update.folders import Folders
from images.agent.update.fresh import Fresh
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
    """`name` in stage directory `folder` (path below the root) waits for `path`; its kind and inode."""

    path: bytes
    type: str
    folder: bytes
    name: bytes
    inode: int


class Stage:
    """Where things wait. `places`: stage directory of each fresh path."""

    def __init__(self, tree: Folders) -> None:
        self._tree = tree
        self._own = (tree.root / HOME).stat().st_dev
        self._tops: Dict[bytes, Tuple[bytes, int]] = {}  # directory: where its file system begins, device

    def place_for(self, path: bytes) -> bytes:
        """The stage directory on the file system of `path`."""
        top, device = self._top(path.rpartition(b"/")[0])
        if device == self._own:
            return HOME.encode() + b"/stage"
        return top + b"/" + BESIDE if top else BESIDE

    def _top(self, folder: bytes) -> Tuple[bytes, int]:
        """Of one that is not there yet, or is no directory: of the one it would be in."""
        known = self._tops.get(folder)
        if known is None:
            info = self._tree.stat(folder)
            is_here = info is not None and stat.S_ISDIR(info.st_mode)
            above = self._top(folder.rpartition(b"/")[0]) if folder else None
            if above is not None and (info is None or not is_here or info.st_dev == above[1]):
                known = above
            else:
                assert info is not None, "the tree itself is there"
                known = (folder, info.st_dev)
            self._tops[folder] = known
        return known

    def ready(self, folder: bytes) -> None:
        """Makes a stage directory that only takes things."""
        if self._tree.stat(folder) is None:
            self._path(folder).mkdir(mode=0o700)

    def clear(self, folder: bytes) -> None:
        """Removes a stage directory with all that waits in it."""
        where = Path(os.fsdecode(os.fsencode(self._tree.root) + b"/" + folder))
        if where.is_dir() and not where.is_symlink():
            shutil.rmtree(where)

    def make(self, fresh: Fresh, stream: Iterator[Data], progress: Progress) -> List[Staged]:
        """Stages all of `fresh`; `stream` gives their chunks in order. Raises OSError, BadInput."""
        need: Dict[bytes, int] = {}
        for path, size in zip(fresh.paths(), fresh.sizes()):  # noqa: B905 - Python 3.8
            folder = self.place_for(path)
            need[folder] = need.get(folder, 0) + size + 4096
        folders, total = list(need), sum(fresh.sizes())
        for folder in folders:
            self._prepare(folder, need[folder])
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
        self, fresh: Fresh, writers: Dict[bytes, TreeWriter], progress: Progress, total: int
    ) -> List[Staged]:
        names = dict.fromkeys(each.target for each in fresh.links())  # what links point to, once it waits
        made: List[Staged] = []
        done = 0
        for number, (entry, size) in enumerate(zip(fresh, fresh.sizes())):  # noqa: B905 - Python 3.8
            folder = self.place_for(entry.path)
            name = b"%07d" % number
            if entry.type == "hardlink":
                self._link(entry, folder, name, names)
            else:
                writers[folder].add(entry._replace(path=name))
                done += size
            inode = os.stat(name, dir_fd=self._tree.open(folder), follow_symlinks=False).st_ino
            made.append(Staged(entry.path, entry.type, folder, name, inode))
            if entry.path in names:
                names[entry.path] = made[-1]
            if not number % 50:
                progress(done, total, entry.name)
        progress(total, total, "")
        return made

    def _link(self, entry: Entry, folder: bytes, name: bytes, names: Dict[bytes, Optional[Staged]]) -> None:
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

    def _prepare(self, folder: bytes, need: int) -> None:
        self.clear(folder)
        self._tree.forget()
        path = self._path(folder)
        path.mkdir(mode=0o700)
        if not supported(self._tree.open(folder)):
            raise BadInput(f"the file system of {path.parent} cannot exchange two names in one step")
        info = os.statvfs(path)
        free = info.f_bavail * info.f_frsize
        if free < need + SPARE:
            raise BadInput(f"{path.parent}: {human(need + SPARE)} needed, {human(free)} free")

    def _path(self, folder: bytes) -> Path:
        return Path(os.fsdecode(os.fsencode(self._tree.root) + b"/" + folder))


def _quiet(done: int, total: object, what: str) -> None:
    """The writers' own progress: we tell it across all of them."""
