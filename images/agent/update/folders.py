"""Reaching names below a root without following links: each directory is opened from its parent.

Law: no path is ever resolved by the kernel beyond one component, so a link that a user put in the way cannot
lead an update elsewhere. A few directories stay open, since neighbours follow each other. Python 3.8,
standard library only.
"""

from __future__ import annotations

import errno
import os
from collections import OrderedDict
from pathlib import Path
from typing import Optional

DIR = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
KEPT = 500  # of the 1,024 that a process may have
_ABSENT = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)


class Folders:
    """Directories below `root`, opened as they are needed. Paths are bytes, relative, as in a manifest."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._root = os.open(str(root), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._open: OrderedDict[bytes, int] = OrderedDict()
        self._last, self._handle = b"", self._root  # asked for again and again: neighbours follow each other

    def close(self) -> None:
        """Closes everything."""
        self.forget()
        os.close(self._root)

    def forget(self) -> None:
        """Directories may have moved: open them anew from now on."""
        for handle in self._open.values():
            os.close(handle)
        self._open.clear()
        self._last, self._handle = b"", self._root

    def open(self, folder: bytes) -> int:
        """The directory; closed by us, not by the caller. Raises OSError (ENOTDIR, ELOOP for a link)."""
        if folder == self._last:
            return self._handle
        if not folder:
            return self._root
        handle = self._open.get(folder)
        if handle is None:
            parent, _, name = folder.rpartition(b"/")
            handle = os.open(name, DIR, dir_fd=self.open(parent))
            self._open[folder] = handle
            while len(self._open) > KEPT:
                os.close(self._open.popitem(last=False)[1])
        else:
            self._open.move_to_end(folder)
        self._last, self._handle = folder, handle
        return handle

    def at(self, path: bytes) -> tuple[int, bytes]:
        """The open directory that holds `path`, and its name there (b"." for the root itself)."""
        folder, _, name = path.rpartition(b"/")
        return self.open(folder), name or b"."

    def stat(self, path: bytes) -> Optional[os.stat_result]:
        """What is at `path`, a link itself; None when nothing is."""
        try:
            parent, name = self.at(path)
            return os.stat(name, dir_fd=parent, follow_symlinks=False)
        except OSError as error:
            if error.errno in _ABSENT:
                return None
            raise

    def open_file(self, path: bytes) -> int:
        """A file for reading; the caller closes it."""
        parent, name = self.at(path)
        return os.open(name, FILE, dir_fd=parent)
