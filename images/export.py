"""Out of the store again: into a directory, or as a tar archive that GNU tar, bsdtar and Docker read.

A directory gets everything (tree_writer.py). A tar keeps everything but sockets, which tar cannot say, and
holes, which are written as zeros (compression makes them small again); xattrs travel as SCHILY.xattr
records.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from images.errors import BadInput, ImageConflict
from images.manifest import Entry
from images.progress import Progress, silent
from images.store import ImageStore
from images.tree_writer import Written, write_tree

_TYPES = {
    "dir": tarfile.DIRTYPE, "file": tarfile.REGTYPE, "symlink": tarfile.SYMTYPE, "hardlink": tarfile.LNKTYPE,
    "fifo": tarfile.FIFOTYPE, "char": tarfile.CHRTYPE, "block": tarfile.BLKTYPE,
}  # fmt: skip


def export_directory(store: ImageStore, ref: str, target: Path, progress: Progress = silent) -> Written:
    """Write a version below `target`, which is made or must be empty. Raises ImageConflict, ImageNotFound,
    OSError.
    """
    manifest = store.manifest(ref)
    target.mkdir(parents=True, exist_ok=True)
    if any(target.iterdir()):
        raise ImageConflict(f"{target} is not empty")
    return write_tree(manifest, store.source(ref), target, progress)


def export_tar(store: ImageStore, ref: str, out: BinaryIO, progress: Progress = silent) -> Written:
    """Write a version to `out` as an uncompressed PAX archive, in constant memory. Raises ImageNotFound,
    OSError.
    """
    manifest = store.manifest(ref)
    stream = store.source(ref).stream(chunk.id for chunk in manifest.chunks())
    files = done = 0
    with tarfile.open(fileobj=out, mode="w|", format=tarfile.PAX_FORMAT, errors="surrogateescape") as tar:
        for entry in manifest.entries():
            if entry.type != "socket":
                tar.addfile(_member(entry), _Content(entry, stream) if entry.type == "file" else None)
            files += 1
            done += sum(chunk.length for chunk in entry.chunks)
            progress(done, manifest.header.bytes, entry.name)
    return Written(files, done)


def _member(entry: Entry) -> tarfile.TarInfo:
    info = tarfile.TarInfo(_text(entry.path) or ".")
    info.type = _TYPES[entry.type]
    info.mode, info.uid, info.gid = entry.mode, entry.uid, entry.gid
    info.uname, info.gname = entry.user, entry.group
    info.size, info.linkname = entry.size, _text(entry.target)
    if entry.rdev is not None:
        info.devmajor, info.devminor = entry.rdev
    info.mtime = entry.mtime_ns // 10**9
    if entry.type == "hardlink":
        return info
    records: dict[str, str] = {}
    if entry.mtime_ns % 10**9 or entry.mtime_ns < 0:
        records["mtime"] = f"{'-' * (entry.mtime_ns < 0)}{_decimal(abs(entry.mtime_ns))}"
    for key, value in entry.xattrs.items():
        records["SCHILY.xattr." + key] = _text(value)
    info.pax_headers = records
    return info


def _decimal(nanoseconds: int) -> str:
    return f"{nanoseconds // 10**9}.{nanoseconds % 10**9:09}"


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


class _Content(io.RawIOBase):
    """A file's bytes, holes as zeros, pulled from the stream of chunks as tarfile asks for them."""

    def __init__(self, entry: Entry, stream: Iterator[bytes]) -> None:
        self._pieces = self._all(entry, stream)
        self._held = b""

    def read(self, size: int = -1) -> bytes:
        parts, wanted = [], size
        while wanted > 0:
            if not self._held:
                self._held = next(self._pieces, b"")
                if not self._held:
                    raise BadInput("an entry has less data than its size")
            part, self._held = self._held[:wanted], self._held[wanted:]
            parts.append(part)
            wanted -= len(part)
        return b"".join(parts)

    def _all(self, entry: Entry, stream: Iterator[bytes]) -> Iterator[bytes]:
        ranges = ((0, entry.size),) if entry.extents is None else entry.extents
        place, held = 0, b""
        for offset, length in ranges:
            yield from _zeros(offset - place)
            left = length
            while left:
                held = held or next(stream)
                part, held = held[:left], held[left:]
                left -= len(part)
                yield part
            place = offset + length
        yield from _zeros(entry.size - place)


def _zeros(count: int) -> Iterator[bytes]:
    while count > 0:
        step = min(count, 1 << 20)
        yield bytes(step)
        count -= step
