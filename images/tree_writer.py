"""Write a manifest's tree below a directory, every attribute intact: deploy, restore and export all use it.

Law: nothing outside the target can be touched, whatever the manifest or the target hold. Every call names one
component relative to an open directory that was opened without following links; no path is ever resolved.
The manifest's depth-first order makes that cheap: the open directories are a stack, and each gets its own
owner, mode and time when it is left, after the last change below it.

Order of attributes matters: chown clears set-id bits and capabilities, an ACL changes what chmod means; so
owner, then xattrs, then mode, then times. A default ACL goes onto a directory last, or its children would
inherit it. Python 3.8, standard library only. Needs root for owners, devices and trusted xattrs.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from images.ahead import Data, ahead
from images.errors import BadInput
from images.fetch import ChunkSource
from images.manifest import Chunk, Entry
from images.progress import Progress, silent
from images.sealed import SealedManifest

_DIR = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_EARLY = 256 << 10  # bytes from which on a file is sent to the disk as soon as it is complete
_BEGIN = 2  # SYNC_FILE_RANGE_WRITE: starts, does not wait
_libc = ctypes.CDLL(None)
# Shown although nobody set them: the label by the kernel's policy, XFS's own names of an ACL.
UNOWNED = frozenset({"security.selinux", "trusted.SGI_ACL_FILE", "trusted.SGI_ACL_DEFAULT"})
_DEVICES = {"fifo": stat.S_IFIFO, "char": stat.S_IFCHR, "block": stat.S_IFBLK, "socket": stat.S_IFSOCK}


class Written(NamedTuple):
    """What was written: names, bytes of data, and what the form could not keep, a line for each kind."""

    files: int
    bytes: int
    losses: tuple[str, ...] = ()


def write_tree(
    manifest: SealedManifest, source: ChunkSource, target: str | Path, progress: Progress = silent
) -> Written:
    """Write the whole tree into the directory `target`, which exists.

    Directories that are there are reused, anything else in the way is replaced. Raises BadInput,
    ChunkCorrupt, OSError (disk full, an xattr the file system cannot keep: its text names the path).
    """
    stream = ahead(source.stream(manifest.ids()))
    writer = TreeWriter(target, stream, progress, manifest.header.bytes)
    with contextlib.closing(stream), contextlib.closing(writer):
        for entry in manifest.entries():
            writer.add(entry)
        writer.finish()
    return Written(writer.files, writer.bytes)


class TreeWriter:
    """Writes entries in manifest order; `chunks` hands out the bytes of each file's chunks in that same
    order.
    """

    def __init__(
        self, target: str | Path, chunks: Iterator[Data], progress: Progress, total: int
    ) -> None:
        self.files = 0
        self.bytes = 0
        self._chunks = chunks
        self._progress = progress
        self._total = total
        self._root = os.open(target, _DIR)
        self._open: list[tuple[Entry, int]] = []  # directories from the root to the current place

    def add(self, entry: Entry) -> None:
        """Write one entry. Raises OSError with the entry's path in it."""
        try:
            self._add(entry)
        except OSError as err:
            err.filename = entry.name
            raise
        self.files += 1
        if not self.files % 64:
            self._progress(self.bytes, self._total, entry.name)

    def finish(self) -> None:
        """Leave the directories that are still open. Until then they lack their final times."""
        while self._open:
            self._leave()
        self._progress(self.bytes, self._total, "")

    def close(self) -> None:
        """Release everything; after an error the tree stays half-written."""
        for _, fd in self._open:
            os.close(fd)
        self._open = []
        if self._root >= 0:
            os.close(self._root)
            self._root = -1

    def _add(self, entry: Entry) -> None:
        if not entry.path:
            self._open.append((entry, os.dup(self._root)))
            strip_xattrs(self._root)
            return
        folder, _, name = entry.path.rpartition(b"/")
        while self._open and self._open[-1][0].path != folder:
            self._leave()
        if not self._open:
            raise BadInput(f"{entry.name} has no directory to be in")
        parent = self._open[-1][1]
        if entry.type == "dir":
            self._enter(entry, name, parent)
            return
        try:
            self._make(entry, name, parent)
        except FileExistsError:  # found before anything was written or any chunk taken
            os.unlink(name, dir_fd=parent)
            self._make(entry, name, parent)

    def _make(self, entry: Entry, name: bytes, parent: int) -> None:
        if entry.type == "file":
            self._file(entry, name, parent)
        elif entry.type == "hardlink":
            self._link(entry, name, parent)
        elif entry.type == "symlink":
            os.symlink(entry.target, name, dir_fd=parent)
            name_attributes(entry, name, parent)
        else:
            device = os.makedev(*entry.rdev) if entry.rdev is not None else 0
            os.mknod(name, _DEVICES[entry.type] | 0o600, device, dir_fd=parent)
            name_attributes(entry, name, parent)

    def _enter(self, entry: Entry, name: bytes, parent: int) -> None:
        try:
            os.mkdir(name, 0o700, dir_fd=parent)
        except FileExistsError:
            if not stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
                os.unlink(name, dir_fd=parent)
                os.mkdir(name, 0o700, dir_fd=parent)
        fd = os.open(name, _DIR, dir_fd=parent)
        self._open.append((entry, fd))
        strip_xattrs(fd)

    def _leave(self) -> None:
        entry, fd = self._open.pop()
        try:
            set_attributes(entry, fd)
        except OSError as err:
            err.filename = entry.name
            raise
        finally:
            os.close(fd)

    def _file(self, entry: Entry, name: bytes, parent: int) -> None:
        fd = os.open(name, _NEW, 0o600, dir_fd=parent)
        try:
            if entry.extents is None:
                for chunk in entry.chunks:
                    _write(fd, self._next(chunk, entry))
            else:
                self._sparse(entry, fd)
            set_attributes(entry, fd)
            if entry.size >= _EARLY:
                _send(fd)
        finally:
            os.close(fd)

    def _sparse(self, entry: Entry, fd: int) -> None:
        """Chunks run through the data ranges as if these were one; a chunk may span several."""
        os.ftruncate(fd, entry.size)
        pieces = iter(entry.chunks)
        held = memoryview(b"")
        for offset, length in entry.extents or ():
            os.lseek(fd, offset, os.SEEK_SET)
            while length:
                if not held:
                    held = memoryview(self._next(next(pieces), entry))
                part = held[:length]
                _write(fd, part)
                held, length = held[len(part) :], length - len(part)

    def _take(self, chunk: Chunk) -> Data:
        """The chunk's bytes; one that reuses what a disk holds knows a nearer place."""
        return next(self._chunks, b"")

    def _next(self, chunk: Chunk, entry: Entry) -> Data:
        data = self._take(chunk)
        if len(data) != chunk.length:
            raise BadInput(f"{entry.name}: a chunk has {len(data)} bytes, {chunk.length} were promised")
        before, self.bytes = self.bytes, self.bytes + len(data)
        if before >> 20 != self.bytes >> 20:
            self._progress(self.bytes, self._total, entry.name)
        return data

    def _link(self, entry: Entry, name: bytes, parent: int) -> None:
        """The target's directory is walked from the root without following links."""
        *folders, old = entry.target.split(b"/")
        fd = os.dup(self._root)
        try:
            for folder in folders:
                fd, last = os.open(folder, _DIR, dir_fd=fd), fd
                os.close(last)
            os.link(old, name, src_dir_fd=fd, dst_dir_fd=parent, follow_symlinks=False)
        finally:
            os.close(fd)


def strip_xattrs(fd: int) -> None:
    """Removes all xattrs; on a directory, a default ACL from before would be inherited by its new content."""
    try:
        keys = os.listxattr(fd)
    except OSError as err:
        if err.errno != errno.ENOTSUP:
            raise
        return
    for key in keys:
        if key == "security.selinux":  # given by the kernel's policy, and not removable
            continue
        try:
            os.removexattr(fd, key)
        except OSError as err:
            if err.errno != errno.ENODATA:  # XFS shows an ACL under two names: it went with the other one
                raise


def _send(fd: int) -> None:
    """Begins to write the file to its disk, so that this happens beside the files that follow and not all at
    the end. Only a hint: whether it works does not matter.
    """
    if hasattr(_libc, "sync_file_range"):
        _libc.sync_file_range(fd, ctypes.c_int64(0), ctypes.c_int64(0), _BEGIN)


def _write(fd: int, data: Data) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def set_attributes(entry: Entry, fd: int) -> None:
    """Owner, xattrs, mode, time of an open file or directory."""
    os.fchown(fd, entry.uid, entry.gid)
    for key, value in entry.xattrs.items():
        os.setxattr(fd, key, value)
    os.fchmod(fd, entry.mode)
    os.utime(fd, ns=(entry.mtime_ns, entry.mtime_ns))


def fit_attributes(entry: Entry, fd: int, found: os.stat_result) -> None:
    """The same for a file that was one before (`found`): what is right already costs the disk nothing."""
    owner = (found.st_uid, found.st_gid) == (entry.uid, entry.gid)
    if not owner or not _same_xattrs(entry, fd):
        strip_xattrs(fd)
        set_attributes(entry, fd)
        return
    if stat.S_IMODE(found.st_mode) != entry.mode:
        os.fchmod(fd, entry.mode)
    if found.st_mtime_ns != entry.mtime_ns:
        os.utime(fd, ns=(entry.mtime_ns, entry.mtime_ns))


def _same_xattrs(entry: Entry, fd: int) -> bool:
    try:
        keys = set(os.listxattr(fd))
    except OSError as err:
        if err.errno != errno.ENOTSUP:
            raise
        keys = set()
    if not keys or not entry.xattrs:  # of most files nobody has to ask further
        return keys <= UNOWNED and not entry.xattrs
    keys -= UNOWNED - set(entry.xattrs)
    return keys == set(entry.xattrs) and all(os.getxattr(fd, key) == entry.xattrs[key] for key in keys)


def name_attributes(entry: Entry, name: bytes, parent: int) -> None:
    """The same for what must not be opened (links, devices): by name, below an open directory."""
    os.chown(name, entry.uid, entry.gid, dir_fd=parent, follow_symlinks=False)
    for key, value in entry.xattrs.items():  # no *at() call sets xattrs: the open directory serves as prefix
        os.setxattr(b"/proc/self/fd/%d/%s" % (parent, name), key, value, follow_symlinks=False)
    if entry.type != "symlink":
        os.chmod(name, entry.mode, dir_fd=parent)
    os.utime(name, ns=(entry.mtime_ns, entry.mtime_ns), dir_fd=parent, follow_symlinks=False)
