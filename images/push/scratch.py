"""Large contents wait in files without a name, mapped: however big they are, they are no memory of ours."""

from __future__ import annotations

import mmap
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO, cast


class Scratch:
    """One stretch of bytes. `data` is it, to be read; `close` gives the room back."""

    def __init__(self, folder: Path, pieces: Iterable[bytes]) -> None:
        self._file = tempfile.TemporaryFile(dir=folder, prefix="scratch.", suffix=".tmp")  # noqa: SIM115
        try:
            self.size = 0
            for piece in pieces:
                self.size += self._file.write(piece)
            self._file.flush()
            self._map = mmap.mmap(self._file.fileno(), max(self.size, 1)) if self.size else None
        except BaseException:
            self._file.close()
            raise

    @classmethod
    def blank(cls, folder: Path, size: int) -> Scratch:
        """Room for `size` bytes, to be written through `data`."""
        made = cls(folder, ())
        os.ftruncate(made._file.fileno(), size)
        made.size, made._map = size, mmap.mmap(made._file.fileno(), size)
        return made

    @property
    def file(self) -> BinaryIO:
        """As a file, for who writes and reads it in one go."""
        return cast("BinaryIO", self._file)

    @property
    def data(self) -> mmap.mmap | bytes:
        """The bytes."""
        return self._map if self._map is not None else b""

    def rest(self) -> None:
        """The pages looked at so far are not needed soon: they count as ours no longer."""
        if self._map is not None:
            self._map.madvise(mmap.MADV_DONTNEED)

    def cut(self, size: int) -> None:
        """Only the first `size` bytes count."""
        self.size = size

    def pieces(self, step: int = 1 << 20) -> Iterable[bytes]:
        """The bytes that count, in steps."""
        for at in range(0, self.size, step):
            yield self.data[at : min(at + step, self.size)]

    def close(self) -> None:
        """Forget it."""
        if self._map is not None:
            self._map.close()
        self._file.close()
