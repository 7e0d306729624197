"""Walks the machine and hands every name to the upload, beside the manifest of the version before.

Both come in the same order, so they are read side by side in constant memory. A file that changes while it
is read is read again, a few times; what keeps changing is kept as it was read last and named. What cannot be
read is named too: whether that ends the capture is the caller's to say. Python 3.8, standard library only.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Callable, Dict, List, Optional, Tuple

from images.agent.capture.excludes import Excludes
from images.agent.capture.matching import Changed, Data, hand_over
from images.agent.capture.upload import Upload
from images.manifest import Chunk, Entry, order
from images.telling import LOOK, RELEASES, SHELLS
from images.tree_reader import Found, read_tree, reread, stable

TRIES = 3
Enter = Callable[[bytes, int], bool]
Told = Callable[[int, int, str], None]


class Walk:
    """One pass over the tree. `files` and `read` count; `changed` and `unreadable` name."""

    def __init__(self, root: Path, excludes: Excludes, enter: Enter, upload: Upload, told: Told) -> None:
        """`told` hears (bytes read, files, path) as the walk goes on."""
        self._root, self._excludes, self._enter = root, excludes, enter
        self._upload, self._told = upload, told
        self._first: Dict[Tuple[int, int], bytes] = {}
        self.files = self.read = 0
        self.changed: List[str] = []
        self.unreadable: List[str] = []

    def run(self, base: Iterator[Entry]) -> None:
        """All of it. Raises what the upload raises."""
        before = Beside(base)
        leaves = self._excludes
        for found in read_tree(self._root, leaves.whole, self._enter, self._trouble, leaves.left_out):
            entry = found.entry
            if leaves.drops(entry.path, entry.type):
                continue
            try:
                self._name(found, before.chunks(entry.path))
            except ConnectionError:  # the server's, not the file's
                raise
            except OSError as error:
                self._upload.drop()
                self._trouble(entry.path, error)
                continue
            self.files += 1
            self._told(self.read, self.files, entry.name)

    def _name(self, found: Found, base: Tuple[Chunk, ...]) -> None:
        entry = found.entry
        if found.links > 1:
            first = self._first.get(found.inode)
            if first is not None:
                self._upload.entry(Entry(entry.path, "hardlink", target=first))
                return
        look = b""
        if found.fd is not None:
            entry = self._file(entry, found.fd, base)
            if entry.path in SHELLS or entry.path in RELEASES:
                look = os.pread(found.fd, LOOK, 0)
        if found.links > 1:
            self._first[found.inode] = entry.path
        self._upload.entry(entry, look)

    def _file(self, entry: Entry, fd: int, base: Tuple[Chunk, ...]) -> Entry:
        for left in reversed(range(TRIES)):
            data = Data(fd, entry)
            whole = False
            with contextlib.suppress(Changed):
                hand_over(data, base, self._upload)
                whole = True
            self.read += data.size
            if whole and stable(fd, entry):
                return entry
            if left or not whole:
                self._upload.drop()
            if left:
                entry = reread(fd, entry)
                if left == 1:  # the last try: no map of holes that may be wrong by the time it is used
                    entry = entry._replace(extents=None)
        self.changed.append(entry.name)
        if not whole:  # it shrinks faster than we read: its name is all that can be kept
            return entry._replace(size=0, extents=None)
        return entry

    def _trouble(self, path: bytes, error: OSError) -> None:
        name = "/" + path.decode("utf-8", "backslashreplace")
        self.unreadable.append(f"{name}: {error.strerror or error}")


class Beside:
    """The entries of the version before, asked for in the manifest's own order."""

    def __init__(self, entries: Iterator[Entry]) -> None:
        self._entries = entries
        self._next: Optional[Entry] = next(entries, None)

    def chunks(self, path: bytes) -> Tuple[Chunk, ...]:
        """The chunks that the base has under that path."""
        key = order(path)
        while self._next is not None and order(self._next.path) < key:
            self._next = next(self._entries, None)
        if self._next is None or self._next.path != path:
            return ()
        return self._next.chunks
