"""A directory for one piece of work, gone when that ends; the next one sweeps what a killed process left.

A process holds a lock on its directory for as long as it lives. Law: only directories of ours by name and
owner are swept, whatever is mounted below is taken away first, and nothing is removed while a mount is left:
removing must never reach the host's own files.
"""

from __future__ import annotations

import ctypes
import fcntl
import logging
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from images.octal import plain

DETACH, NOFOLLOW = 2, 8  # umount2(2)
log = logging.getLogger("bootsrv")
_libc = ctypes.CDLL(None, use_errno=True)


@contextmanager
def workplace(kind: str, parent: Path) -> Iterator[Path]:
    """A new directory `bootsrv-KIND-...` in `parent`. Raises OSError."""
    prefix = f"bootsrv-{kind}-"
    sweep(prefix, parent)
    home, lock = _locked(prefix, parent)
    try:
        yield home
    finally:
        shutil.rmtree(home)
        os.close(lock)


def sweep(prefix: str, parent: Path) -> None:
    """Removes what dead processes left; what cannot be removed is logged, and stays."""
    for path in sorted(parent.glob(f"{prefix}*")):
        try:
            _sweep(path)
        except OSError as err:
            log.warning("%s was left by a process that was killed; remove it by hand: %s", path, err)


def _locked(prefix: str, parent: Path) -> tuple[Path, int]:
    while True:
        home = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
        try:
            fd = _open(home)
            fcntl.flock(fd, fcntl.LOCK_EX)
            if os.fstat(fd).st_nlink:  # 0: another process has swept it between the two lines
                return home, fd
            os.close(fd)
        except FileNotFoundError:
            continue


def _sweep(path: Path) -> None:
    try:
        found = path.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
            return
        fd = _open(path)
    except FileNotFoundError:  # its process has just ended
        return
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        for mount in _mounts_below(path):
            if _libc.umount2(mount, DETACH | NOFOLLOW):
                code = ctypes.get_errno()
                raise OSError(code, os.strerror(code), os.fsdecode(mount))
        if left := _mounts_below(path):
            raise OSError(f"still mounted: {os.fsdecode(left[0])}")
        shutil.rmtree(path)
    except BlockingIOError:  # its process lives
        return
    finally:
        os.close(fd)


def _open(path: Path) -> int:
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)


def _mounts_below(path: Path) -> list[bytes]:
    """The last one first, as they must be unmounted."""
    at = os.fsencode(path.resolve())
    found = []
    for line in Path("/proc/self/mountinfo").read_bytes().splitlines():
        where = os.fsencode(plain(os.fsdecode(line.split(b" ")[4])))
        if where == at or where.startswith(at + b"/"):
            found.append(where)
    return found[::-1]
