"""Another copy of a chunk: the locator names one place, but a store that was written to by several
importers at once, or that gc is about to tidy, may hold it twice.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from images.errors import BadInput, ChunkCorrupt
from images.fetch import unpack
from images.locator import Frame
from images.pack import SUFFIX, read_trailer
from images.shelf import Shelf


def good_copy(shelf: Shelf, id: bytes) -> bytes:
    """The chunk from any pack that holds it whole. Raises ChunkCorrupt with the chunk; reads the index of
    every pack, so it takes its time."""
    for frame, inner, length in _places(shelf, id):
        try:
            raw = unpack(frame, shelf.read_range(frame.pack, frame.offset, frame.stored))
        except (BadInput, OSError):
            continue
        data = raw[inner : inner + length]
        if hashlib.sha256(data).digest() == id:
            return data
    raise ChunkCorrupt(f"chunk {id.hex()} is damaged or missing and has no other copy", id)


def _places(shelf: Shelf, id: bytes) -> Iterator[tuple[Frame, int, int]]:
    for path in sorted(shelf.packs.glob("*" + SUFFIX)):
        try:
            trailer = read_trailer(path)
        except (BadInput, OSError):
            continue
        for row in trailer.chunks:
            if row.id == id and row.frame not in trailer.bases:  # a patch is as good as its bases: not here
                at = trailer.frames[row.frame]
                frame = Frame(path.stem, at.offset, at.stored, at.raw, at.codec)
                yield frame, row.inner, row.length
