"""Files that are open because somebody is being sent them, or was a moment ago.

A thousand machines fetch the same kernel; opening and checking it costs more than finding out that it is
still the same. The law: what is shared is one version of a file, by its path and ETag: a replaced file is
opened anew. Nothing stays open for longer than REST after its last use.
"""

from __future__ import annotations

import os
from pathlib import Path

from pxe.catalogue import Entry

REST = 2.0  # seconds
_MOST = 64  # that rest
_Key = tuple[Path | None, str, Path | None]


class OpenFile:
    """One of them; `users` are being sent it."""

    __slots__ = ("fd", "key", "since", "users")

    def __init__(self, key: _Key, fd: int) -> None:
        self.key, self.fd = key, fd
        self.users = 0
        self.since = 0.0


class OpenFiles:
    """One thread's."""

    def __init__(self) -> None:
        self._open: dict[_Key, OpenFile] = {}

    def take(self, entry: Entry) -> OpenFile:
        """The open file of an entry that has a path; give it back. Raises OSError as `Entry.open` does."""
        key = (entry.path, entry.etag, entry.root)
        found = self._open.get(key)
        if found is None:
            found = self._open[key] = OpenFile(key, entry.open())
        found.users += 1
        return found

    def give(self, file: OpenFile, now: float) -> None:
        """It is not used any more; `now` is any clock's seconds."""
        file.users -= 1
        file.since = now

    def tidy(self, now: float) -> None:
        """Close what rests."""
        resting = [file for file in self._open.values() if not file.users]
        resting.sort(key=lambda file: file.since)
        for number, file in enumerate(resting):
            if now - file.since < REST and len(resting) - number <= _MOST:
                break
            del self._open[file.key]
            os.close(file.fd)

    def close(self) -> None:
        """Close them all."""
        for file in self._open.values():
            os.close(file.fd)
        self._open.clear()
