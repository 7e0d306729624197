"""Where on its device a file's bytes lie: FIEMAP (Documentation/filesystems/fiemap.rst).

Only the simple case counts: one run of plain blocks. Python 3.8, standard library only.
"""

from __future__ import annotations

import fcntl
import struct

FIEMAP = 0xC020660B
_HEAD = struct.Struct("=QQLLLL")  # start, length, flags, mapped, count of extents that fit, reserved
_EXTENT = struct.Struct("=QQQQQLLLL")  # logical, physical, length, 2 reserved, flags, 3 reserved
_SYNC = 1  # what is still in memory is written first
_ROOM = 4
_ASK = _HEAD.pack(0, 2**64 - 1, _SYNC, 0, _ROOM, 0) + bytes(_ROOM * _EXTENT.size)
_LAST, _MERGED, _SHARED = 0x1, 0x1000, 0x2000
_PLAIN = _LAST | _MERGED | _SHARED  # any other: not on the disk yet, encoded, inline, never written ...


def place(fd: int, size: int) -> int | None:
    """The byte of the device at which the open file's `size` bytes begin; None when they are no single run
    there (or nobody can tell). Raises nothing for a file system that has no such call.
    """
    try:
        answer = fcntl.ioctl(fd, FIEMAP, _ASK)
    except OSError:  # no such call here: the file is read in the ordinary way, which tells what is wrong
        return None
    count = _HEAD.unpack_from(answer)[3]
    logical, physical, length, _, _, flags, _, _, _ = _EXTENT.unpack_from(answer, _HEAD.size)
    if count and not logical and length >= size and not flags & ~_PLAIN:  # as most are
        return int(physical)
    begin, end = -1, 0
    for number in range(count):
        row = _EXTENT.unpack_from(answer, _HEAD.size + number * _EXTENT.size)
        logical, physical, length, flags = row[0], row[1], row[2], row[5]
        if flags & ~_PLAIN or logical != end:
            return None
        if number == 0:
            begin = physical
        elif physical != begin + logical:
            return None
        end = logical + length
        if end >= size:
            return begin
    return None
