"""The manifest lines of the version that this machine is, by path: in a scratch file, since there may be a
million. Python 3.8, standard library only."""

from __future__ import annotations

import mmap
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Dict, Optional

from images.agent.update.compare import path_of


class Lines(Mapping):  # type: ignore[type-arg]  # Python 3.8 has no parameters here
    """Path -> line, in manifest order. Only the paths are held in memory."""

    def __init__(self, lines: Iterable[bytes], folder: Path) -> None:
        """`folder` holds the scratch file, which has no name. Raises OSError."""
        self._places: Dict[bytes, int] = {}
        self._map: Optional[mmap.mmap] = None
        with tempfile.TemporaryFile(dir=str(folder)) as file:
            end = 0
            for line in lines:
                self._places[path_of(line)] = end
                end += file.write(line + b"\n")
            file.flush()
            if end:
                self._map = mmap.mmap(file.fileno(), end, access=mmap.ACCESS_READ)

    def __getitem__(self, path: bytes) -> bytes:
        return self._line(self._places[path])

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def clear(self) -> None:
        """Forget all of them."""
        self._places.clear()
        if self._map is not None:
            self._map.close()
            self._map = None

    def _line(self, place: int) -> bytes:
        assert self._map is not None, "there is no place without a file"
        return self._map[place : self._map.find(b"\n", place)]
