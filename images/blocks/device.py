"""Something that has blocks, opened for reading: a disk, a partition, a raw image file.

Python 3.8, standard library only.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from images.errors import BadInput

_LOGICAL, _PHYSICAL = 0x1268, 0x127B  # BLKSSZGET, BLKPBSZGET (linux/fs.h)


class Device(Protocol):
    """What is asked of it: sizes in bytes, exact reads, and where data may be."""

    size: int
    sector: int
    physical: int

    def read(self, offset: int, length: int) -> bytes:
        """Exactly these bytes. Raises BadInput beyond the end, OSError."""

    def data(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        """(offset, length) in [start, end) that may be anything but zeros."""


class FileDevice:
    """A block device or a raw image file; the holes of a sparse file are not read."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd = os.open(str(path), os.O_RDONLY | os.O_CLOEXEC)
        self._sparse = stat.S_ISREG(os.fstat(self._fd).st_mode)
        self.size = os.lseek(self._fd, 0, os.SEEK_END)
        self.sector = self._ask(_LOGICAL)
        self.physical = self._ask(_PHYSICAL)

    def close(self) -> None:
        """Release it."""
        os.close(self._fd)

    def read(self, offset: int, length: int) -> bytes:
        """Exactly these bytes."""
        parts, left = [], length
        while left:
            part = os.pread(self._fd, left, offset)
            if not part:
                raise BadInput(f"{self._path}: ends at {offset} although {left} more bytes are needed")
            parts.append(part)
            offset, left = offset + len(part), left - len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def data(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        """As the file system that holds the file tells."""
        place = start
        while place < end and self._sparse:
            try:
                first = os.lseek(self._fd, place, os.SEEK_DATA)
                after = os.lseek(self._fd, first, os.SEEK_HOLE)
            except OSError as err:
                if err.errno == errno.ENXIO:  # only a hole is left
                    return
                if err.errno != errno.EINVAL:
                    raise
                break
            if first < end:
                yield first, min(after, end) - first
            place = after
        if place < end:
            yield place, end - place

    def _ask(self, question: int) -> int:
        if self._sparse:
            return 512
        return int(struct.unpack("I", fcntl.ioctl(self._fd, question, bytes(4)))[0])
