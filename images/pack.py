"""Pack files: many compressed frames in one file that never changes, with an index of its chunks at the end.

    "BSPACK01"  frame frame frame ...  trailer  footer
    trailer     "BSINDEX1", counts, salt, per frame (offset, stored, raw, codec, sha256 of its stored bytes),
                per chunk (id, frame, offset inside, length), all big-endian; "BSINDEX2": then per base of a
                patch (frame, chunk id)
    footer      offset of the trailer, sha256 of the trailer (= the pack's id and file name), "BSPKEND1"

Frames lie back to back, so that every byte of the file is covered by a hash or fixed: one flipped bit
anywhere is found without unpacking. A frame holds one or more chunks: small files share one, which
compresses them together and lets a node fetch thousands of them in one range. A frame may be a patch: it is
unpacked with other chunks' bytes, its bases, before it; those lie in other packs, and never in a patch.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from images.disk import create, publish_file, sync_dir, temp_path, write_all
from images.errors import BadInput
from images.locator import PATCH

MAGIC, INDEX, END = b"BSPACK01", b"BSINDEX1", b"BSPKEND1"
WITH_BASES = b"BSINDEX2"
_COUNTS = struct.Struct(">8sII16s")
_FRAME = struct.Struct(">QIIB32s")
_CHUNK = struct.Struct(">32sIII")
_BASE = struct.Struct(">I32s")
_FOOTER = struct.Struct(">Q32s8s")
SUFFIX = ".pack"
_LIMIT = 1 << 28  # bytes of trailer; ours have a few hundred kilobytes


class FrameRow(NamedTuple):
    """One frame: `stored` bytes at `offset`, `raw` bytes once unpacked, `digest` = sha256 of the stored
    bytes.
    """

    offset: int
    stored: int
    raw: int
    codec: int
    digest: bytes


class ChunkRow(NamedTuple):
    """One chunk: `length` bytes at `inner` of frame number `frame`."""

    id: bytes
    frame: int
    inner: int
    length: int


class Trailer(NamedTuple):
    """A pack's own index. `id` is its sha256, raw; `bases`: of each patch, by its frame's number, the chunks
    whose bytes come before it, in order.
    """

    id: bytes
    frames: list[FrameRow]
    chunks: list[ChunkRow]
    bases: dict[int, tuple[bytes, ...]]


class PackWriter:
    """Writes one pack into `folder` under a temporary name; `finish` gives it its own. Single-threaded."""

    def __init__(self, folder: Path, temp: Path) -> None:
        self._folder = folder
        self._path = temp_path(temp, "pack")
        self._fd = create(self._path)
        self._frames: list[FrameRow] = []
        self._chunks: list[ChunkRow] = []
        self._bases: dict[int, tuple[bytes, ...]] = {}
        self.size = 0
        try:
            self._append(MAGIC)
        except BaseException:
            self.abort()
            raise

    def add(
        self, codec: int, stored: bytes, raw: int, chunks: list[tuple[bytes, int, int]],
        bases: tuple[bytes, ...] = (),
    ) -> None:  # fmt: skip
        """Append a frame that holds `chunks` (id, offset inside, length); `bases` of a patch. Raises OSError
        (disk full).
        """
        number = len(self._frames)
        if bases:
            self._bases[number] = bases
        self._frames.append(FrameRow(self.size, len(stored), raw, codec, hashlib.sha256(stored).digest()))
        self._chunks.extend(ChunkRow(id, number, inner, length) for id, inner, length in chunks)
        self._append(stored)

    def finish(self) -> Trailer:
        """Write trailer and footer, make the pack durable, and return what is in it."""
        offset, body = self.size, _trailer(self._frames, self._chunks, self._bases)
        id = hashlib.sha256(body).digest()
        self._append(body)
        self._append(_FOOTER.pack(offset, id, END))
        os.fsync(self._fd)
        self._close()
        publish_file(self._path, self._folder / (id.hex() + SUFFIX))
        return Trailer(id, self._frames, self._chunks, self._bases)

    def abort(self) -> None:
        """Drop what was written."""
        self._close()
        self._path.unlink(missing_ok=True)

    def _append(self, data: bytes) -> None:
        write_all(self._fd, data)
        self.size += len(data)

    def _close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def _trailer(frames: list[FrameRow], chunks: list[ChunkRow], bases: dict[int, tuple[bytes, ...]]) -> bytes:
    # Salted, so that a pack made again never takes the name of a damaged one that waits to be deleted.
    magic = WITH_BASES if bases else INDEX
    parts = [_COUNTS.pack(magic, len(frames), len(chunks), secrets.token_bytes(16))]
    parts.extend(_FRAME.pack(*frame) for frame in frames)
    parts.extend(_CHUNK.pack(*chunk) for chunk in chunks)
    parts.extend(_BASE.pack(number, id) for number, ids in bases.items() for id in ids)
    return b"".join(parts)


def read_trailer(path: Path) -> Trailer:
    """A pack's index, checked against its own hash and the file's shape. Raises BadInput with the reason."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        if size < len(MAGIC) + _COUNTS.size + _FOOTER.size:
            raise BadInput(f"{path}: cut off")
        file.seek(size - _FOOTER.size)
        offset, id, magic = _FOOTER.unpack(file.read(_FOOTER.size))
        length = size - _FOOTER.size - offset
        if magic != END or not _COUNTS.size <= length <= _LIMIT:
            raise BadInput(f"{path}: no pack, or its end is damaged")
        file.seek(offset)
        body = file.read(length)
        file.seek(0)
        head = file.read(len(MAGIC))
    if head != MAGIC or hashlib.sha256(body).digest() != id:
        raise BadInput(f"{path}: its index is damaged")
    return _parse(path, id, body, offset)


def _parse(path: Path, id: bytes, body: bytes, end: int) -> Trailer:
    magic, frames, chunks, _ = _COUNTS.unpack_from(body)
    split = _COUNTS.size + frames * _FRAME.size
    last = split + chunks * _CHUNK.size
    rest = len(body) - last
    if magic not in (INDEX, WITH_BASES) or rest < 0 or (rest % _BASE.size if magic == WITH_BASES else rest):
        raise BadInput(f"{path}: its index is of a form this program does not know")
    rows = [FrameRow(*row) for row in _FRAME.iter_unpack(body[_COUNTS.size : split])]
    place = len(MAGIC)
    for row in rows:
        if row.offset != place:
            raise BadInput(f"{path}: its frames do not lie back to back")
        place += row.stored
    if place != end:
        raise BadInput(f"{path}: bytes between frames and index")
    bases: dict[int, list[bytes]] = {}
    for number, base in _BASE.iter_unpack(body[last:]):
        bases.setdefault(number, []).append(base)
    if set(bases) != {number for number, row in enumerate(rows) if row.codec == PATCH}:
        raise BadInput(f"{path}: its patches do not fit their bases")
    listed = [ChunkRow(*row) for row in _CHUNK.iter_unpack(body[split:last])]
    return Trailer(id, rows, listed, {number: tuple(ids) for number, ids in bases.items()})


def read_frames(path: Path, trailer: Trailer) -> Iterator[tuple[int, bytes]]:
    """(number, stored bytes) of every frame in order; whether they are whole is the caller's to check."""
    with path.open("rb") as file:
        file.seek(len(MAGIC))
        for number, row in enumerate(trailer.frames):
            yield number, file.read(row.stored)


def delete_pack(path: Path) -> None:
    """Remove a pack for good."""
    path.unlink(missing_ok=True)
    sync_dir(path.parent)
