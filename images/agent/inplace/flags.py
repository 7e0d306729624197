"""Inode flags (chattr(1), linux/fs.h): what a running system may have set on its files and no image holds.

An immutable file could be neither replaced nor removed, so the flags go before anything else is done. Python
3.8, standard library only.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import struct
import sys

GET, SET = 0x80086601, 0x40086602  # FS_IOC_GETFLAGS, FS_IOC_SETFLAGS of a 64-bit kernel
if struct.calcsize("l") == 4:
    GET, SET = 0x80046601, 0x40046602
ENCRYPTED, VERITY, CASEFOLD = 0x800, 0x100000, 0x40000000
# What chattr sets: s u c S i a d A j t D T C x P. The others are the file system's own (extents, index ...).
SETTABLE = 0x000000FF | 0x4000 | 0x8000 | 0x10000 | 0x20000 | 0x800000 | 0x2000000 | 0x20000000
_NONE = (errno.ENOTTY, errno.EOPNOTSUPP, errno.EINVAL)
_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_ROOM = bytes(8)


def flags_of(fd: int) -> int:
    """The flags of an open file or directory; 0 where the file system has none."""
    try:
        return int.from_bytes(fcntl.ioctl(fd, GET, _ROOM)[:4], sys.byteorder)
    except OSError as error:
        if error.errno not in _NONE:
            raise
        return 0


def clear_flags(fd: int, found: int) -> None:
    """Takes the settable ones of `found` away."""
    left = found & ~SETTABLE
    fcntl.ioctl(fd, SET, left.to_bytes(4, sys.byteorder) + bytes(4))


def loosen(name: bytes, parent: int) -> None:
    """Clears what would forbid to remove or rename that file or directory. Others have no flags."""
    kind = os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode
    if not (stat.S_ISREG(kind) or stat.S_ISDIR(kind)):
        return
    fd = os.open(name, _OPEN, dir_fd=parent)
    try:
        found = flags_of(fd)
        if found & SETTABLE:
            clear_flags(fd, found)
    finally:
        os.close(fd)
