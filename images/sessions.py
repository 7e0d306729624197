"""Who is writing right now: one marker file per session, locked by its process for as long as it lives.

gc asks here before it deletes: a session may count on chunks it has seen in a pack since it began.
A killed process frees its lock; the marker it leaves is swept.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from images.disk import create, temp_path


class Marker:
    """A live session."""

    def __init__(self, folder: Path) -> None:
        self._path = temp_path(folder, "session")
        self._fd = create(self._path)
        fcntl.flock(self._fd, fcntl.LOCK_EX)

    @property
    def began(self) -> float:
        """When, in epoch seconds by the file system's clock."""
        return os.fstat(self._fd).st_mtime

    def alone(self) -> bool:
        """Whether no other session is live."""
        return len(_live(self._path.parent)) == 1

    def close(self) -> None:
        """The session is over."""
        if self._fd >= 0:
            self._path.unlink(missing_ok=True)
            os.close(self._fd)
            self._fd = -1


def oldest(folder: Path) -> float | None:
    """When the oldest live session began (epoch seconds), None when there is none. Sweeps dead markers."""
    return min(_live(folder), default=None)


def _live(folder: Path) -> list[float]:
    began: list[float] = []
    for path in folder.glob("*.tmp"):
        try:
            fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink(missing_ok=True)
        except BlockingIOError:
            began.append(os.fstat(fd).st_mtime)
        finally:
            os.close(fd)
    return began
