"""Compression of archives as they are written, by the ending of their name: gzip, zstd, xz, or none."""

from __future__ import annotations

import gzip
import lzma
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

import zstandard

_LEVEL = 6


def _gzip(file: BinaryIO) -> BinaryIO:
    packer = gzip.GzipFile("", "wb", _LEVEL, file, mtime=0)
    return cast("BinaryIO", packer)


def _zstd(file: BinaryIO) -> BinaryIO:
    packer = zstandard.ZstdCompressor(level=_LEVEL, threads=2, write_checksum=True)
    return cast("BinaryIO", packer.stream_writer(file, closefd=False))


def _xz(file: BinaryIO) -> BinaryIO:
    return cast("BinaryIO", lzma.LZMAFile(file, "wb", preset=_LEVEL))


PACKERS: dict[str, Callable[[BinaryIO], BinaryIO]] = {
    ".gz": _gzip, ".tgz": _gzip, ".zst": _zstd, ".zstd": _zstd, ".tzst": _zstd, ".xz": _xz, ".txz": _xz,
}  # fmt: skip


@contextmanager
def packed(file: BinaryIO, name: str) -> Iterator[BinaryIO]:
    """Where to write an archive that shall be called `name`; whole in `file` once this is left."""
    packer = PACKERS.get(Path(name).suffix.lower())
    if packer is None:
        yield file
        return
    out = packer(file)
    yield out
    out.close()
