"""What must be made, in manifest order: as manifest lines in a scratch file, since there may be a million
and an entry in memory takes three times as much. Python 3.8, standard library only."""

from __future__ import annotations

import mmap
import os
import tempfile
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Container, Optional

from images.agent.update.lines import is_kind, path_of
from images.manifest import Entry, parse_entry


class Fresh:
    """First `add` all, then read: as often, and in as many places at once, as is needed."""

    def __init__(self, folder: Path) -> None:
        """`folder` holds the scratch file, which has no name and is made when it is needed."""
        self._folder = folder
        self._file: Optional[IO[bytes]] = None
        self._map: Optional[mmap.mmap] = None
        self._places, self._end = array("Q"), 0
        self._data = array("Q")  # bytes of each
        self._missing = bytearray()

    def add(self, line: bytes, entry: Entry, missing: bool) -> None:
        """`entry` is the line's. `missing`: nothing is at its path. Raises OSError."""
        if self._file is None:
            self._file = tempfile.TemporaryFile(dir=str(self._folder))  # noqa: SIM115 - until `close`
        self._places.append(self._end)
        self._data.append(sum(chunk.length for chunk in entry.chunks))
        self._missing.append(missing)
        self._end += self._file.write(line + b"\n")

    def __len__(self) -> int:
        return len(self._places)

    def __iter__(self) -> Iterator[Entry]:
        return map(parse_entry, self.lines())

    def lines(self) -> Iterator[bytes]:
        """As they are in the manifest."""
        for place in self._places:
            yield self._line(place)

    def paths(self) -> Iterator[bytes]:
        """Without parsing all of it."""
        return map(path_of, self.lines())

    def links(self) -> Iterator[Entry]:
        """The hard links among them."""
        return (parse_entry(line) for line in self.lines() if is_kind(line, b"hardlink"))

    def sizes(self) -> Iterator[int]:
        """Bytes of data of each."""
        return iter(self._data)

    def kinds(self) -> Iterator[bool]:
        """Whether it is missing (or is there, and another) of each."""
        return map(bool, self._missing)

    def put_last(self, paths: Container[bytes]) -> None:
        """Those paths, and behind them the links to them, come after all others from now on."""
        late = [
            path_of(line) in paths or (is_kind(line, b"hardlink") and parse_entry(line).target in paths)
            for line in self.lines()
        ]
        order = sorted(range(len(late)), key=late.__getitem__)
        self._places = array("Q", (self._places[number] for number in order))
        self._data = array("Q", (self._data[number] for number in order))
        self._missing = bytearray(self._missing[number] for number in order)

    def close(self) -> None:
        """Forget all of them."""
        if self._map is not None:
            self._map.close()
        if self._file is not None:
            self._file.close()
        self._file = self._map = None
        self._places, self._data, self._missing, self._end = array("Q"), array("Q"), bytearray(), 0

    def _line(self, place: int) -> bytes:
        if self._map is None:
            assert self._file is not None, "there is no place without a file"
            self._file.flush()
            size = os.fstat(self._file.fileno()).st_size
            self._map = mmap.mmap(self._file.fileno(), size, access=mmap.ACCESS_READ)
        return self._map[place : self._map.find(b"\n", place)]
