"""Walks a manifest and the mounted tree together, and makes equal what needs no new data.

Afterwards every name in the tree is the image's own, or is marked: to be written. What is in the way was
moved aside; owners, modes, times and xattrs of what stays are right, but for directories that get something
written. Law: content counts only when it was read; no stamp is believed and no link is followed. Python 3.8,
standard library only.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from images.agent.inplace.aside import ASIDE, names_in
from images.agent.inplace.content import Content, File
from images.agent.inplace.flags import CASEFOLD, ENCRYPTED, SETTABLE, VERITY, clear_flags, flags_of
from images.agent.inplace.listing import Ahead, Listing, listing
from images.agent.inplace.places import Place, above
from images.agent.update.folders import DIR, FILE, Folders
from images.errors import ImageError
from images.manifest import Entry
from images.progress import Progress
from images.sealed import SealedManifest
from images.tree_reader import extents, xattrs
from images.tree_writer import UNOWNED, fit_attributes

LOST = b"lost+found"
_NODES = {
    "symlink": stat.S_IFLNK, "fifo": stat.S_IFIFO, "char": stat.S_IFCHR, "block": stat.S_IFBLK,
    "socket": stat.S_IFSOCK,
}  # fmt: skip
HOME = os.fsencode(ASIDE)


class StrangeGround(ImageError):
    """The file system holds what only a new one gets rid of; the text says what."""


class _Here(NamedTuple):
    """A directory that the walk is in. `fd` is -1 where there is none yet: all below it is missing."""

    entry: Entry
    number: int
    fd: int
    names: Listing  # there, and not seen in the manifest so far
    device: int
    place: Place


class Compare:
    """One pass. `marks`: a byte for each entry, 1 where something is to be written (or lies below)."""

    def __init__(
        self, manifest: SealedManifest, tree: Folders, places: Mapping[bytes, Place], progress: Progress
    ) -> None:
        self.marks = bytearray()
        self._manifest, self._tree, self._places, self._progress = manifest, tree, places, progress
        self._stays = above(places)
        devices = {each.device for each in places.values() if each.device is not None}
        self._content = Content(tree.open(b""), devices)
        self._ahead = Ahead(manifest, self._look_ahead)
        self._stack: list[_Here] = []
        self._above: dict[int, int] = {}  # directory to the one it is in, by number
        self._inodes: dict[tuple[int, int], bytes] = {}  # of files with several names: the first
        self._first: dict[bytes, tuple[tuple[int, int], int]] = {}  # the other way; number of its entry
        self._links: list[tuple[int, int, bytes, bytes, tuple[int, int]]] = []
        self.kept_files = 0
        self.kept_bytes = 0

    def run(self) -> None:
        """Raises StrangeGround, OSError, BadInput."""
        try:
            for number, entry in enumerate(self._manifest.entries()):
                self.marks.append(0)
                if entry.path:
                    self._look(number, entry)
                else:
                    self._enter(number, entry, -1, b"", self._tree.open(b""))
                if not number % 256:
                    self._progress(self._content.right_bytes, self._manifest.header.bytes, entry.name)
            while self._stack:
                self._leave()
            self._content.finish()
        finally:
            self._content.close()
            for here in self._stack:
                if here.fd >= 0 and here.entry.path:
                    os.close(here.fd)
        self._settle()
        self.kept_files, self.kept_bytes = self._content.right_files, self._content.right_bytes

    def _look_ahead(self, directories: Sequence[bytes]) -> None:
        self._content.look_ahead(directories)
        self._content.flush()

    def _settle(self) -> None:
        """What the answers of the readers decide: wrong files, and the links to them."""
        for file in self._content.wrong:
            self._mark(file.number, file.parent)
            self._away(file.path)
        for number, parent, path, target, inode in self._links:
            first = self._first.get(target)
            if first is None or first[0] != inode or self.marks[first[1]]:
                self._mark(number, parent)
                self._away(path)

    def _away(self, path: bytes) -> None:
        parent, _ = self._tree.at(path)
        device = os.fstat(parent).st_dev
        self._place(path, device).aside.take(self._place(path, device).inner(path), parent)

    def _place(self, path: bytes, device: int) -> Place:
        while path:
            path = path.rpartition(b"/")[0]
            if path in self._places:
                return self._places[path]
        raise StrangeGround("the tree has no file system")  # pragma: no cover - the root is always one

    def _mark(self, number: int, parent: int) -> None:
        """To be written; the directories on the way are passed again, and get their time back."""
        self.marks[number] = 1
        while parent >= 0 and not self.marks[parent]:
            self.marks[parent] = 1
            parent = self._above[parent]

    def _look(self, number: int, entry: Entry) -> None:
        folder, _, name = entry.path.rpartition(b"/")
        while self._stack[-1].entry.path != folder:
            self._leave()
        here = self._stack[-1]
        kind = here.names.pop(name, None)
        if kind is None:
            self._missing(number, entry, here)
            return
        if entry.type == "file":
            if kind == stat.S_IFREG and self._file(number, entry, name, here):
                return
        elif entry.type == "dir":
            if kind == stat.S_IFDIR:
                self._enter(number, entry, here.number, name, here.fd)
                return
        elif kind != stat.S_IFDIR:
            info = os.stat(name, dir_fd=here.fd, follow_symlinks=False)
            if entry.type == "hardlink":
                inode = (info.st_dev, info.st_ino)
                self._links.append((number, here.number, entry.path, entry.target, inode))
                return
            if self._own_inode(number, entry, info):
                if _same_node(entry, name, info, here.fd):
                    return
                self._forget_inode(entry, info)
        here.place.aside.take(here.place.inner(entry.path), here.fd)
        self._missing(number, entry, here)

    def _missing(self, number: int, entry: Entry, here: _Here) -> None:
        self._mark(number, here.number)
        if entry.type == "dir":
            self._ahead.next()
            self._above[number] = here.number
            self._stack.append(_Here(entry, number, -1, {}, here.device, here.place))

    def _own_inode(self, number: int, entry: Entry, info: os.stat_result) -> bool:
        """Two names that the image keeps apart must not be one file."""
        if info.st_nlink < 2:
            return True
        inode = (info.st_dev, info.st_ino)
        if inode in self._inodes:
            return False
        self._inodes[inode] = entry.path
        self._first[entry.path] = (inode, number)
        return True

    def _forget_inode(self, entry: Entry, info: os.stat_result) -> None:
        """It does not stay."""
        self._inodes.pop((info.st_dev, info.st_ino), None)
        self._first.pop(entry.path, None)

    def _file(self, number: int, entry: Entry, name: bytes, here: _Here) -> bool:
        """False when it cannot be right; else its attributes are, and its content will be read."""
        fd = os.open(name, FILE, dir_fd=here.fd)
        try:
            info = os.fstat(fd)
            if info.st_size != entry.size or not self._own_inode(number, entry, info):
                return False
            if not _fitted(entry, fd, info):
                self._forget_inode(entry, info)
                return False
            if entry.size:
                self._content.add(File(number, here.number, entry), fd, here.place.device)
        finally:
            os.close(fd)
        return True

    def _enter(self, number: int, entry: Entry, parent: int, name: bytes, at: int) -> None:
        """`at`: the directory that holds it; of the root itself, this one."""
        self._ahead.next()
        fd = os.open(name, DIR, dir_fd=at) if entry.path else at
        place = self._stack[-1].place if self._stack else self._places[b""]
        device = os.fstat(fd).st_dev
        self._above[number] = parent
        here = _Here(entry, number, fd, {}, device, self._places.get(entry.path, place))
        self._stack.append(here)
        if here.place is place and self._stack[0] is not here and device != self._stack[-2].device:
            raise StrangeGround(f"{entry.name} is a file system or volume of its own")
        found = flags_of(fd)
        if found & (ENCRYPTED | CASEFOLD):
            raise StrangeGround(f"{entry.name} is a directory that is encrypted or folds case")
        if found & SETTABLE:
            clear_flags(fd, found)
        here.names.update(listing(fd))

    def _leave(self) -> None:
        """Away with what the image does not know; then the directory's own attributes."""
        here = self._stack[-1]
        if here.fd >= 0:
            self._sweep(here.entry.path, here.fd, here.names, here.place)
            fit_attributes(here.entry, here.fd, os.fstat(here.fd))
            if here.entry.path:
                os.close(here.fd)
        self._stack.pop()

    def _sweep(self, folder: bytes, fd: int, names: Iterable[bytes], place: Place) -> None:
        """Moves these names of the open directory aside, but for what is no file of the old system's."""
        is_top = folder == place.prefix
        for name in names:
            path = folder + b"/" + name if folder else name
            if is_top and name == HOME:
                continue
            if path in self._stays:
                self._strange(path, name, fd, self._places.get(path, place), 0o755)
            elif is_top and name == LOST and stat.S_ISDIR(_kind(name, fd)):
                self._strange(path, name, fd, place, 0o700)
            else:
                place.aside.take(place.inner(path), fd)

    def _strange(self, path: bytes, name: bytes, parent: int, place: Place, mode: int) -> None:
        """A directory that is not the image's and stays: for a mount, or mkfs made it. It is emptied."""
        fd = os.open(name, DIR, dir_fd=parent)
        try:
            found = flags_of(fd)
            if found & SETTABLE:
                clear_flags(fd, found)
            self._sweep(path, fd, names_in(fd), place)
            info = os.fstat(fd)
            fit_attributes(Entry(path, "dir", mode=mode, mtime_ns=info.st_mtime_ns), fd, info)
        finally:
            os.close(fd)


def _fitted(entry: Entry, fd: int, info: os.stat_result) -> bool:
    """Whether an open file has, or got, all but its content right."""
    found = flags_of(fd)
    if found & (SETTABLE | ENCRYPTED | VERITY):
        if found & (ENCRYPTED | VERITY):
            return False
        clear_flags(fd, found)
    if extents(fd, info) != entry.extents:
        return False
    fit_attributes(entry, fd, info)
    return True


def _kind(name: bytes, parent: int) -> int:
    return os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode


def _same_node(entry: Entry, name: bytes, info: os.stat_result, parent: int) -> bool:
    """A link, device, fifo or socket with everything right. There is no mending these: they are made anew."""
    if stat.S_IFMT(info.st_mode) != _NODES[entry.type]:
        return False
    if (info.st_uid, info.st_gid, info.st_mtime_ns) != (entry.uid, entry.gid, entry.mtime_ns):
        return False
    if entry.type == "symlink":
        if os.readlink(name, dir_fd=parent) != entry.target:
            return False
    elif stat.S_IMODE(info.st_mode) != entry.mode:
        return False
    if entry.rdev is not None and entry.rdev != (os.major(info.st_rdev), os.minor(info.st_rdev)):
        return False
    found = dict(xattrs(parent, name))
    for key in UNOWNED - set(entry.xattrs):
        found.pop(key, None)
    return found == dict(entry.xattrs)
