"""Reading a file that may change meanwhile: it is read again, three times at most; then the last reading is
kept, and whoever asked is told.
"""

from __future__ import annotations

import os

from images.manifest import Entry, data_size
from images.tree_reader import DataReader, reread, stable

TRIES = 3
_STEP = 1 << 20


def again(fd: int, entry: Entry, left: int) -> Entry:
    """The entry of a file that changed. For the last try without a map of holes, which may be wrong by the
    time it is used.
    """
    entry = reread(fd, entry)
    return entry._replace(extents=None) if left == 1 else entry


def read_whole(entry: Entry, fd: int, most: int) -> tuple[Entry, bytes, bool] | None:
    """The entry as it is in the end, its data, whether it held still. None: it has, or came to have, more
    than `most` bytes of data. Raises OSError.
    """
    for left in reversed(range(TRIES)):
        size = data_size(entry)
        if size > most:
            return None
        data = _data(fd, entry) if size else b""
        if len(data) == size and stable(fd, entry):
            return entry, data, True
        if left:
            entry = again(fd, entry, left)
    return entry._replace(size=len(data)), data, False


def _data(fd: int, entry: Entry) -> bytes:
    if entry.extents is None and entry.size <= _STEP:  # nearly all of them
        data = os.pread(fd, entry.size, 0)
        if len(data) == entry.size:
            return data  # else it has become shorter, or its file system gives less than it is asked for
    read = DataReader(fd, entry).read
    return b"".join(iter(lambda: read(_STEP), b""))
