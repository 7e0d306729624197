"""What differs between this machine and a version: found entry by entry, reading as little as possible.

A name whose stamp (inode, size, mtime, ctime) and manifest line are the ones of the last look is clean
without opening it; a file whose stamp is known under the base's line differs exactly as the two lines do;
only others are read. Excluded names are not looked at. Law: nothing is changed here. Python 3.8, standard
library only.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Callable, Dict, List, NamedTuple, Optional, Tuple

from images.agent.update.content import holds
from images.agent.update.folders import Folders
from images.agent.update.fresh import Fresh
from images.agent.update.lines import is_kind, path_of
from images.agent.update.state import STAMP, Known, line_hash, stamp
from images.manifest import Entry, parse_entry
from images.tree_reader import xattrs
from images.tree_writer import UNOWNED

_TYPES = {
    "dir": stat.S_IFDIR, "file": stat.S_IFREG, "symlink": stat.S_IFLNK, "fifo": stat.S_IFIFO,
    "char": stat.S_IFCHR, "block": stat.S_IFBLK, "socket": stat.S_IFSOCK,
}  # fmt: skip
_NOTHING: Mapping[bytes, int] = {}


class Difference(NamedTuple):
    """`fresh` must be made, `attributes` set (what they should be, without content), `gone` removed;
    `blocked`: why the update would touch what is not the image's. All in manifest order.
    """

    fresh: Fresh
    attributes: List[Entry]
    gone: List[bytes]
    blocked: List[str]
    known: Known
    read: int  # bytes of files read to find out

    def numbers(self) -> Dict[str, int]:
        """As a report tells them."""
        return {
            "made": len(self.fresh), "attributes": len(self.attributes), "removed": len(self.gone),
        }  # fmt: skip

    def forget(self) -> None:
        """All is in the journal now: of many names that is much."""
        self.fresh.close()
        self.attributes.clear()
        self.gone.clear()

    @property
    def total(self) -> int:
        """How many names differ."""
        return len(self.fresh) + len(self.attributes) + len(self.gone)


class Compare:
    """One pass. `base`: manifest line of each path in the version this machine is."""

    def __init__(
        self,
        tree: Folders,
        base: Mapping[bytes, bytes],
        known: Known,
        excluded: Callable[[bytes], bool],
        scratch: Path,
        checksum: bool = False,
        written: Mapping[bytes, int] = _NOTHING,
    ) -> None:
        """`written`: inodes of files whose content was checked when it was put there, just now. `scratch`: a
        folder for what must be made.
        """
        self._written = written
        self._tree, self._base, self._known = tree, base, known
        self._excluded, self._checksum = excluded, checksum
        self._inodes: Dict[Tuple[int, int], bytes] = {}  # files with several names: whose they are
        self._kept: Dict[bytes, Tuple[int, int]] = {}  # names that stay of files with several, by path
        self._fresh: Dict[bytes, str] = {}  # what will be made, and its type
        self._out = Difference(Fresh(scratch), [], [], [], {}, 0)
        self._read = 0
        self._absent = b"/"  # before it, no path begins with that

    def run(self, lines: Iterable[bytes]) -> Difference:
        """`lines`: the wanted version's entries in manifest order. Raises OSError, BadInput."""
        unseen = set(self._base)
        for line in lines:
            path = path_of(line)
            unseen.discard(path)
            if not self._excluded(path):
                self._look(path, line)
        self._out.gone.extend(self._gone(unseen))
        self._out.blocked.extend(self._blocked())
        return self._out._replace(read=self._read)

    def _look(self, path: bytes, line: bytes) -> None:
        info = None if path.startswith(self._absent) else self._tree.stat(path)
        if info is None:
            entry = parse_entry(line)
            if entry.type == "dir" and not path.startswith(self._absent):
                self._absent = path + b"/"  # what comes below it need not be looked for
            self._make(line, entry, missing=True)
            return
        row = self._known.get(path)
        digest = line_hash(line)
        known = row[STAMP.size :] if row and row[: STAMP.size] == stamp(info) and not self._checksum else None
        if known == digest and self._own_inode(path, line, info):
            self._keep(path, info, digest)
            return
        entry = parse_entry(line)
        if entry.type == "hardlink":
            self._hardlink(line, entry, info, digest)
            return
        content_known = known == line_hash(self._base.get(path, b""))
        if not self._same_kind(entry, info, content_known) or not self._own_inode(path, line, info):
            self._make(line, entry)
        elif self._same_attributes(entry, info):
            self._keep(path, info, digest)
        else:
            self._keep(path, info, None)
            self._out.attributes.append(entry._replace(chunks=(), extents=None))  # what it holds is right

    def _make(self, line: bytes, entry: Entry, missing: bool = False) -> None:
        self._fresh[entry.path] = entry.type
        self._out.fresh.add(line, entry, missing)

    def _keep(self, path: bytes, info: os.stat_result, digest: Optional[bytes]) -> None:
        if info.st_nlink > 1 and not stat.S_ISDIR(info.st_mode):
            self._inodes.setdefault((info.st_dev, info.st_ino), path)
            self._kept[path] = (info.st_dev, info.st_ino)
        if digest is not None:
            self._out.known[path] = stamp(info) + digest

    def _own_inode(self, path: bytes, line: bytes, info: os.stat_result) -> bool:
        """Two names that the version keeps apart must not be one file here; a link must be its target's."""
        if info.st_nlink < 2 or stat.S_ISDIR(info.st_mode):
            return b'"type":"hardlink"' not in line[:9000]
        holder = self._inodes.get((info.st_dev, info.st_ino))
        if is_kind(line, b"hardlink"):
            return holder is not None and holder == parse_entry(line).target
        return holder is None

    def _hardlink(self, line: bytes, entry: Entry, info: os.stat_result, digest: bytes) -> None:
        target = self._kept.get(entry.target)
        # Excluded, or a file with this one name: whatever it is, we link to it.
        if target is None and entry.target not in self._fresh:
            there = self._tree.stat(entry.target)
            target = (there.st_dev, there.st_ino) if there is not None else (info.st_dev, info.st_ino)
        if target == (info.st_dev, info.st_ino):
            self._out.known[entry.path] = stamp(info) + digest
        else:
            self._make(line, entry)

    def _same_kind(self, entry: Entry, info: os.stat_result, content_known: bool) -> bool:
        if stat.S_IFMT(info.st_mode) != _TYPES[entry.type]:
            return False
        parent, name = self._tree.at(entry.path)
        if entry.type == "symlink":
            return os.readlink(name, dir_fd=parent) == entry.target
        if entry.rdev is not None:
            return entry.rdev == (os.major(info.st_rdev), os.minor(info.st_rdev))
        if entry.type != "file":
            return True
        if content_known:
            base = parse_entry(self._base[entry.path])
            return (base.chunks, base.size, base.extents) == (entry.chunks, entry.size, entry.extents)
        if info.st_size != entry.size:
            return False
        if self._written.get(entry.path) == info.st_ino:
            return True
        handle = self._tree.open_file(entry.path)
        try:
            self._read += info.st_size
            return holds(handle, entry)
        finally:
            os.close(handle)

    def _same_attributes(self, entry: Entry, info: os.stat_result) -> bool:
        if entry.type == "dir":
            if self._mount_point(entry.path, info):
                return True  # what is mounted there has attributes of its own
            moved = entry.path in self._base and parse_entry(self._base[entry.path]) != entry
            time_right = not moved or info.st_mtime_ns == entry.mtime_ns
        else:
            time_right = info.st_mtime_ns == entry.mtime_ns
        mode_right = entry.type == "symlink" or stat.S_IMODE(info.st_mode) == entry.mode
        return (
            time_right
            and mode_right
            and (info.st_uid, info.st_gid) == (entry.uid, entry.gid)
            and self._same_xattrs(entry)
        )

    def _mount_point(self, path: bytes, info: os.stat_result) -> bool:
        above = self._tree.stat(path.rpartition(b"/")[0]) if path else None
        return above is not None and above.st_dev != info.st_dev

    def _same_xattrs(self, entry: Entry) -> bool:
        parent, name = self._tree.at(entry.path)
        found = dict(xattrs(parent, name))
        for key in UNOWNED - set(entry.xattrs):
            found.pop(key, None)
        return found == dict(entry.xattrs)

    def _gone(self, unseen: set[bytes]) -> Iterator[bytes]:
        """What the base had and the version has not; what lies below a directory that is replaced goes with
        it.
        """
        for path in self._base if unseen else ():
            left = path not in unseen or self._excluded(path) or self._replaced_above(path)
            if not left and self._tree.stat(path) is not None:
                yield path

    def _replaced_above(self, path: bytes) -> bool:
        while path:
            path = path.rpartition(b"/")[0]
            if self._fresh.get(path, "dir") != "dir":
                return True
        return False

    def _blocked(self) -> Iterator[str]:
        """Directories that give way to something else must hold nothing but the image's own; a directory of
        the image that somebody made a link is that somebody's decision.
        """
        for path in self._out.fresh.paths():
            info = self._tree.stat(path)
            if info is None:
                continue
            name = Entry(path, "file").name
            if stat.S_ISDIR(info.st_mode):
                yield from self._foreign(path, name)
            elif self._fresh[path] == "dir" and stat.S_ISLNK(info.st_mode) and self._was_dir(path):
                yield f"{name} is a link here and a directory in the image: exclude it"

    def _was_dir(self, path: bytes) -> bool:
        return path in self._base and parse_entry(self._base[path]).type == "dir"

    def _foreign(self, folder: bytes, replaced: str) -> Iterator[str]:
        handle = self._tree.open(folder)
        for name in os.listdir(handle):  # noqa: PTH208 - a descriptor
            path = folder + b"/" + os.fsencode(name)
            shown = Entry(path, "file").name
            if path not in self._base or self._excluded(path):
                yield f"{replaced} is no directory in the new version, but holds {shown}: move it away"
                return
            info = self._tree.stat(path)
            if info is not None and stat.S_ISDIR(info.st_mode):
                yield from self._foreign(path, replaced)
