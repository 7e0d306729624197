"""Where the blocks of a read transfer come from: bytes in memory, or a file through the page cache.

The law: reading never waits for a disk on the event loop. A read that would have to wait raises NotYet; then
`warm` is run in a thread, and the read is tried again.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from typing import Protocol

from pxe.catalogue import Entry
from pxe.tftp import netascii

NETASCII_MOST = 16 << 20  # bytes; its length is only known after translation, so it is done in memory


class NotYet(Exception):
    """The bytes are still on the disk."""


class Source(Protocol):
    """Random access for a transfer."""

    size: int

    def into(self, places: list[memoryview], offset: int) -> int:
        """Fill these from `offset` on; how many bytes there were. Raises NotYet, or OSError."""

    def warm(self, offset: int, length: int) -> None:
        """Fetch from the disk; blocks."""

    def close(self) -> None:
        """Give the file back."""


class Memory:
    """Bytes."""

    def __init__(self, data: bytes) -> None:
        self._data = memoryview(data)
        self.size = len(data)

    def into(self, places: list[memoryview], offset: int) -> int:
        """See Source."""
        at = offset
        for place in places:
            piece = self._data[at : at + len(place)]
            place[: len(piece)] = piece
            at += len(piece)
        return at - offset

    def warm(self, offset: int, length: int) -> None:
        """Nothing to do."""

    def close(self) -> None:
        """Nothing to do."""


class File:
    """An open file; `size` is what it was when it was opened."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self.size = os.fstat(fd).st_size
        self._flags = os.RWF_NOWAIT

    def into(self, places: list[memoryview], offset: int) -> int:
        """See Source."""
        needed = min(len(places) * len(places[0]), self.size - offset)
        return min(needed, self._get(places, offset, needed))

    def _get(self, places: Sequence[memoryview], offset: int, needed: int) -> int:
        try:
            got = os.preadv(self._fd, places, offset, self._flags)
        except BlockingIOError:
            raise NotYet from None
        except OSError as error:
            if error.errno != errno.EOPNOTSUPP or not self._flags:
                raise
            self._flags = 0  # tmpfs and some others cannot say; they do not wait for long either
            return self._get(places, offset, needed)
        if got < needed:
            if self._flags and offset + needed <= os.fstat(self._fd).st_size:
                raise NotYet  # the first part was in memory, the rest is not
            raise OSError(errno.EIO, "the file became shorter while it was sent")
        return got

    def warm(self, offset: int, length: int) -> None:
        """See Source. Reads generously, so that the next windows are there too."""
        os.pread(self._fd, max(length, 1 << 20), offset)

    def close(self) -> None:
        """See Source."""
        os.close(self._fd)


def open_source(entry: Entry, mode: str) -> Source:
    """The source for an entry, in "octet" or "netascii". Raises OSError, also when netascii is too large."""
    if mode == "netascii":
        return Memory(netascii.encode(_whole(entry)))
    return Memory(entry.data) if entry.data is not None else File(entry.open())


def _whole(entry: Entry) -> bytes:
    if entry.size > NETASCII_MOST:
        raise OSError(errno.EFBIG, "too large for netascii; use octet mode")
    if entry.data is not None:
        return entry.data
    with os.fdopen(entry.open(), "rb") as file:
        return file.read(NETASCII_MOST)
