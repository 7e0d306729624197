"""Chunks that are on this machine already: where they should lie, according to the version it runs.

A seed is only a hint. What is read is hashed, and what does not match is fetched, so a file that changed here
costs bytes and never correctness. Python 3.8, standard library only.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable
from typing import Dict, Optional, Set, Tuple

from images.agent.update.folders import Folders
from images.manifest import Entry, parse_entry

_IDS = re.compile(rb'\["([0-9a-f]{64})",')


class Seeds:
    """Looks chunks up by id; `wanted` bounds what is remembered."""

    def __init__(self, tree: Folders, wanted: Set[bytes]) -> None:
        self._tree, self._wanted = tree, wanted
        self._places: Dict[bytes, Tuple[bytes, int, int]] = {}  # id -> path, offset, length
        self._held: Dict[bytes, bytes] = {}
        self._file: Optional[Tuple[bytes, int]] = None  # the file read last stays open
        self.read = 0  # bytes taken from here

    def __contains__(self, id: bytes) -> bool:
        return id in self._places or id in self._held

    def add_file(self, entry: Entry) -> None:
        """The chunks of a file that is at `entry.path` on this machine."""
        ranges = list(entry.extents if entry.extents is not None else ((0, entry.size),))[::-1]
        offset, left = ranges.pop() if ranges else (0, 0)
        for chunk in entry.chunks:
            if chunk.length <= left:
                if chunk.id in self._wanted:
                    self._places.setdefault(chunk.id, (entry.path, offset, chunk.length))
                offset, left = offset + chunk.length, left - chunk.length
            else:  # it runs over a hole: passed by
                missing = chunk.length
                while missing > left and ranges:
                    missing -= left
                    offset, left = ranges.pop()
                offset, left = offset + missing, left - missing
            if not left and ranges:
                offset, left = ranges.pop()

    def add_all(self, entries: Iterable[Entry]) -> None:
        """The same for many."""
        for entry in entries:
            if entry.type == "file":
                self.add_file(entry)

    def add_lines(self, lines: Iterable[bytes], wanted: Iterable[bytes]) -> None:
        """Manifest lines of files that stay as they are: only those that hold what of `wanted` is missing are
        read (a file that was copied to a second place, a package's files that moved).
        """
        missing = {id.hex().encode() for id in wanted if id not in self}
        for line in lines if missing else ():
            if not missing.isdisjoint(_IDS.findall(line)):
                entry = parse_entry(line)
                if entry.type == "file":
                    self.add_file(entry)

    def learned(self) -> None:
        """Nothing is added any more: what is wanted need not be known."""
        self._wanted = set()

    def add_bytes(self, id: bytes, data: bytes) -> None:
        """A chunk that we hold in memory."""
        self._held[id] = data

    def get(self, id: bytes) -> Optional[bytes]:
        """The chunk, checked; None when it is not what it should be."""
        if id in self._held:
            return self._held[id]
        place = self._places.get(id)
        if place is None:
            return None
        path, offset, length = place
        try:
            data = os.pread(self._open(path), length, offset)
        except OSError:  # gone, or not readable: then it is fetched
            return None
        if hashlib.sha256(data).digest() != id:
            return None
        self.read += length
        return data

    def _open(self, path: bytes) -> int:
        if self._file is None or self._file[0] != path:
            self.close()
            self._file = (path, self._tree.open_file(path))
        return self._file[1]

    def close(self) -> None:
        """Closes the file read last."""
        if self._file is not None:
            os.close(self._file[1])
            self._file = None
