"""The manifest lines of the version that this machine is, by path: in a scratch file, since there may be a
million. Python 3.8, standard library only."""

from __future__ import annotations

import json
import mmap
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Dict, Optional

from images.manifest import to_bytes

_HEAD, _TAIL = b'{"path":"', b'","type":"'


def path_of(line: bytes) -> bytes:
    """The path of a manifest line, without parsing all of it."""
    end = line.find(_TAIL, len(_HEAD))
    text = line[len(_HEAD) : end]
    if not line.startswith(_HEAD) or end < 0 or b"\\" in text:
        return to_bytes(json.loads(line)["path"])
    return text


def is_kind(line: bytes, kind: bytes) -> bool:
    """Whether the entry has that type, without parsing it."""
    return line.startswith(kind + b'"', line.find(_TAIL, len(_HEAD)) + len(_TAIL))


class Lines(Mapping):  # type: ignore[type-arg]  # Python 3.8 has no parameters here
    """Path -> line, in manifest order. Only the paths are held in memory."""

    def __init__(self, lines: Iterable[bytes], folder: Path) -> None:
        """`folder` holds the scratch file, which has no name. Raises OSError."""
        self._places: Dict[bytes, int] = {}
        self._map: Optional[mmap.mmap] = None
        import tempfile  # only here: others want but a line's path, and start sooner without

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
