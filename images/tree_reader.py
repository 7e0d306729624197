"""Read a directory tree with everything a file system knows about it: what capture and import start from.

Law: nothing outside the tree is read (directories are opened without following links, one component at a
time), and nothing is changed, access times included. The order is the manifest's: depth first, names
sorted. Other file systems mounted below are not entered. A file that changes while it is read is for the
reader of its bytes to notice: `stable` compares before and after.

Python 3.8, standard library only. Needs root to see everything.
"""

from __future__ import annotations

import contextlib
import errno
import fnmatch
import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from images.errors import BadInput
from images.manifest import NONE, Entry

EXCLUDES = ("/proc/*", "/sys/*", "/dev/*", "/run/*", "/tmp/*", "/var/tmp/*", "/lost+found")  # noqa: S108
_DIR = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_TYPES = {
    stat.S_IFDIR: "dir", stat.S_IFREG: "file", stat.S_IFLNK: "symlink", stat.S_IFIFO: "fifo",
    stat.S_IFCHR: "char", stat.S_IFBLK: "block", stat.S_IFSOCK: "socket",
}  # fmt: skip
_NO_XATTRS = {errno.ENOTSUP, errno.ENODATA, errno.ENOSYS}


class Found(NamedTuple):
    """One name. `fd` is open for reading while a file is handed out, else None; `inode` tells hard links
    apart.
    """

    entry: Entry
    fd: int | None
    inode: tuple[int, int]
    links: int


class _Rules(NamedTuple):
    """What a walk leaves out (None: nothing), where it goes, and who hears of what cannot be read and of what
    is left out.
    """

    skip: re.Pattern[str] | None
    enter: Callable[[bytes, int], bool]
    trouble: Callable[[bytes, OSError], None]
    names: _Names
    left_out: Callable[[str], None]


def read_tree(
    root: str | Path,
    excludes: Iterable[str] = EXCLUDES,
    enter: Callable[[bytes, int], bool] | None = None,
    trouble: Callable[[bytes, OSError], None] | None = None,
    left_out: Callable[[str], None] | None = None,
) -> Iterator[Found]:
    """Every name below `root`, itself first. `excludes` are shell patterns on "/path/in/tree".

    "/proc/*" leaves out what is in /proc, "/proc" the directory as well. Hard links come as plain files with
    the same `inode`. `enter` is asked about each directory of another device (path, device) whether the walk
    goes on in it. Raises OSError, or tells `trouble` and goes on with the next name. `left_out` hears of each
    name that a pattern matches, as "/path/in/tree".
    """
    patterns = "|".join(fnmatch.translate(pattern) for pattern in excludes)
    skip = re.compile(patterns) if patterns else None
    names = _Names(root)
    fd = os.open(root, _DIR)
    try:
        top = os.fstat(fd)
        yield Found(_entry(b"", top, fd, b"", names), None, (top.st_dev, top.st_ino), 1)
        here, silent = (lambda path, device: False), (lambda path: None)
        rules = _Rules(skip, enter or here, trouble or _raise, names, left_out or silent)
        yield from _below(fd, b"", top.st_dev, rules)
    finally:
        os.close(fd)


def _raise(path: bytes, error: OSError) -> None:
    raise error


def _below(fd: int, path: bytes, device: int, rules: _Rules) -> Iterator[Found]:
    skip, _, trouble, names, left_out = rules
    prefix = path + b"/" if path else b""
    for name in sorted([os.fsencode(each) for each in os.listdir(fd)]):
        whole = prefix + name
        if skip is not None and skip.match(text := "/" + whole.decode("utf-8", "surrogateescape")):
            left_out(text)
            continue
        child = None
        try:
            info = os.stat(name, dir_fd=fd, follow_symlinks=False)
            child = _open(name, info, fd)
            where, inner = (fd, name) if child is None else (child, b"")
            entry = _entry(whole, info, where, inner, names)
        except FileNotFoundError:  # gone since it was listed: a living system
            if child is not None:
                os.close(child)
            continue
        except OSError as error:
            if child is not None:
                os.close(child)
            trouble(whole, error)
            continue
        try:
            is_dir = entry.type == "dir"
            links = 1 if is_dir else info.st_nlink
            yield Found(entry, None if is_dir else child, (info.st_dev, info.st_ino), links)
            if is_dir and child is not None and _goes_on(whole, info.st_dev, device, rules):
                yield from _below(child, whole, info.st_dev, rules)
        finally:
            if child is not None:
                os.close(child)


def _goes_on(path: bytes, device: int, above: int, rules: _Rules) -> bool:
    return device == above or rules.enter(path, device)


def _open(name: bytes, info: os.stat_result, parent: int) -> int | None:
    if stat.S_ISDIR(info.st_mode):
        return os.open(name, _DIR, dir_fd=parent)
    if not stat.S_ISREG(info.st_mode):
        return None
    try:
        return os.open(name, _FILE | os.O_NOATIME, dir_fd=parent)
    except PermissionError:  # only the owner may ask for O_NOATIME
        return os.open(name, _FILE, dir_fd=parent)


def _entry(path: bytes, info: os.stat_result, fd: int, name: bytes, names: _Names) -> Entry:
    """`fd` is the object itself, or the directory that holds it under `name`."""
    mode, uid, gid = info.st_mode, info.st_uid, info.st_gid
    kind = _TYPES[stat.S_IFMT(mode)]
    is_file = kind == "file"
    return Entry(  # in their order, which costs half of naming them
        path,
        kind,
        stat.S_IMODE(mode),
        uid,
        gid,
        names.users.get(uid, ""),
        names.groups.get(gid, ""),
        info.st_mtime_ns,
        info.st_size if is_file else 0,
        os.readlink(name, dir_fd=fd) if kind == "symlink" else b"",
        (os.major(info.st_rdev), os.minor(info.st_rdev)) if kind in ("char", "block") else None,
        xattrs(fd, name),
        extents(fd, info) if is_file else None,
    )


def xattrs(fd: int, name: bytes) -> Mapping[str, bytes]:
    """Of an open object, or by name below an open directory for what must not be opened."""
    where: int | bytes = b"/proc/self/fd/%d/%s" % (fd, name) if name else fd
    follow = not name
    try:
        keys = os.listxattr(where, follow_symlinks=follow)
    except OSError as err:
        if err.errno in _NO_XATTRS:
            return NONE
        raise
    if not keys:
        return NONE
    found: dict[str, bytes] = {}
    for key in keys:
        try:
            found[key] = os.getxattr(where, key, follow_symlinks=follow)
        except OSError as err:
            if err.errno not in _NO_XATTRS:  # removed in between, or not for us (some security.* on tmpfs)
                raise
    return found


def extents(fd: int, info: os.stat_result) -> tuple[tuple[int, int], ...] | None:
    """The ranges that hold data, or None when there is no hole (or the file system cannot tell)."""
    if info.st_blocks * 512 >= info.st_size:
        return None
    found: list[tuple[int, int]] = []
    place = 0
    try:
        while place < info.st_size:
            start = os.lseek(fd, place, os.SEEK_DATA)
            place = min(os.lseek(fd, start, os.SEEK_HOLE), info.st_size)
            if start < place:
                found.append((start, place - start))
    except OSError as err:
        if err.errno == errno.ENXIO:  # only a hole is left
            return tuple(found)
        if err.errno == errno.EINVAL:
            return None
        raise
    return None if found == [(0, info.st_size)] else tuple(found)


class DataReader:
    """`read` over the data ranges of an open file, holes skipped; what chunking wants."""

    def __init__(self, fd: int, entry: Entry) -> None:
        self._fd = fd
        whole = ((0, entry.size),) if entry.size else ()
        self._ranges = list(whole if entry.extents is None else entry.extents)[::-1]

    def read(self, size: int) -> bytes:
        """Up to `size` bytes; b"" at the end (or where the file has become shorter)."""
        while self._ranges:
            offset, length = self._ranges.pop()
            data = os.pread(self._fd, min(size, length), offset)
            if not data:
                return b""
            if len(data) < length:
                self._ranges.append((offset + len(data), length - len(data)))
            return data
        return b""


def stable(fd: int, entry: Entry) -> bool:
    """Whether an open file still has the size and time that `entry` says."""
    now = os.fstat(fd)
    return now.st_size == entry.size and now.st_mtime_ns == entry.mtime_ns


def reread(fd: int, entry: Entry) -> Entry:
    """The entry of a file that changed, as it is now."""
    info = os.fstat(fd)
    return entry._replace(
        size=info.st_size,
        mtime_ns=info.st_mtime_ns,
        mode=stat.S_IMODE(info.st_mode),
        extents=extents(fd, info),
    )


class _Names:
    """Owners' names by the tree's own passwd and group files: the reading host's would be wrong."""

    def __init__(self, root: str | Path) -> None:
        self.users = _ids(Path(root) / "etc" / "passwd")
        self.groups = _ids(Path(root) / "etc" / "group")


def _ids(path: Path) -> dict[int, str]:
    ids: dict[int, str] = {}
    with contextlib.suppress(OSError):  # names are a comfort; numbers are what counts
        if path.is_symlink() or path.parent.is_symlink():
            return ids
        return parse_ids(path.read_bytes())
    return ids


def parse_ids(text: bytes) -> dict[int, str]:
    """Number to name, of a passwd or group file. Lines that are none are skipped."""
    ids: dict[int, str] = {}
    for line in text.decode("utf-8", "surrogateescape").splitlines():
        fields = line.split(":")
        if len(fields) >= 3 and fields[2].isdigit():
            ids.setdefault(int(fields[2]), fields[0])
    return ids


def check_root(root: str | Path) -> None:
    """Raises BadInput when `root` is no directory."""
    if not Path(root).is_dir():
        raise BadInput(f"{root} is no directory")
