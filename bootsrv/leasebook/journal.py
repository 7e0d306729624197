"""The lease journal's file: appended and synced before any ACK, read at start, rewritten when it has grown.

The laws: when `append` returns, the frame is on the disk, and when it raises, the file is as it was; a
rewritten journal takes the old one's place in one step (rename), and loses nothing that was appended
meanwhile; a damaged one is kept beside it.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path

from bootsrv.leasebook import frame
from bootsrv.leasebook.frame import Content

TAIL = 1 << 16  # bytes that may be left to copy while nobody can append


class Journal:
    """One file. Not locked: its keeper lets one thread at a time in. All methods raise OSError."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = 0
        self._fd = -1
        self._unclean = False

    def read(self) -> Content | None:
        """What is in the file; None when there is none. Changes nothing."""
        try:
            return frame.read(self.path.read_bytes())
        except FileNotFoundError:
            return None

    def open(self, size: int) -> None:
        """Go on after the first `size` bytes, which are sound; what follows is cut off."""
        self._fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o660)
        self.size, self._unclean = size, True
        self._clean()

    def _clean(self) -> None:
        if self._unclean:
            os.ftruncate(self._fd, self.size)
            self._unclean = False

    def append(self, data: bytes) -> None:
        """Add a frame; it is on the disk when this returns."""
        self._clean()
        self._unclean = True
        try:
            if os.pwrite(self._fd, data, self.size) < len(data):
                raise OSError(28, "No space left on device")
            os.fdatasync(self._fd)
        except OSError:
            with suppress(OSError):  # then it is cut off before the next append
                self._clean()
            raise
        self._unclean = False
        self.size += len(data)

    def set_aside(self) -> Path:
        """Keep the damaged file under another name."""
        aside = self.path.with_name(f"{self.path.name}.damaged-{time.strftime('%Y%m%d-%H%M%S')}")
        with suppress(FileExistsError):
            os.link(self.path, aside)
        return aside

    def close(self) -> None:
        """Safe to call twice."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class Rewrite:
    """A journal in the making: `add` frames, `follow` what was appended meanwhile, `take_over`."""

    def __init__(self, journal: Journal, start: int) -> None:
        """`start`: all that the old journal holds before this is in the frames that will be added."""
        self._journal = journal
        self._at = start
        self._path = journal.path.with_name(journal.path.name + ".new")
        self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o660)
        self._size = 0

    def add(self, data: bytes) -> None:
        if os.write(self._fd, data) < len(data):
            raise OSError(28, "No space left on device")
        self._size += len(data)

    def follow(self) -> None:
        """Copy what was appended until little is left, and sync."""
        while self._journal.size - self._at > TAIL:
            self._copy()
        os.fdatasync(self._fd)

    def _copy(self) -> None:
        part = os.pread(self._journal._fd, min(self._journal.size - self._at, 1 << 20), self._at)
        self.add(part)
        self._at += len(part)

    def take_over(self) -> None:
        """Become the journal. Nobody may append meanwhile."""
        while self._journal._fd >= 0 and self._at < self._journal.size:
            self._copy()
        os.fdatasync(self._fd)
        self._path.replace(self._journal.path)
        self._journal.close()
        self._journal._fd, self._journal.size, self._journal._unclean = self._fd, self._size, False
        self._fd = -1
        folder = os.open(self._journal.path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def give_up(self) -> None:
        """Remove what was begun; safe after `take_over`."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
            self._path.unlink(missing_ok=True)
