"""What patches start from, by the index: for those who read packs as such (verify, gc, a session).

Law: a base is checked by its hash before it is used, and is never in a patch itself. Readers of versions go
by locators instead (fetch.py).
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterable

from images.errors import BadInput, ChunkCorrupt, ChunkMissing
from images.fetch import unpack
from images.index import Index
from images.locator import PATCH, Frame
from images.shelf import Shelf

KEPT = 8 << 20  # bytes of unpacked frames: neighbours need the same ones


class Bases:
    """Reads chunks that lie in plain frames."""

    def __init__(self, store: Shelf, index: Index) -> None:
        self._store, self._index = store, index
        self._kept: OrderedDict[tuple[bytes, int], bytes] = OrderedDict()

    def join(self, ids: Iterable[bytes]) -> bytes:
        """The chunks' bytes, one after the other. Raises ChunkMissing, ChunkCorrupt, OSError."""
        return b"".join(map(self._chunk, ids))

    def _chunk(self, id: bytes) -> bytes:
        where = self._index.find(id)
        if where is None or where.codec == PATCH:
            raise ChunkMissing(f"chunk {id.hex()}, the base of a patch, is in no pack")
        raw = self._kept.pop((where.pack, where.frame), None)
        if raw is None:
            frame = Frame(where.pack.hex(), where.offset, where.stored, where.raw, where.codec)
            try:
                raw = unpack(frame, self._store.read_range(frame.pack, frame.offset, frame.stored))
            except BadInput as error:
                raise ChunkCorrupt(f"chunk {id.hex()}, the base of a patch: {error}") from error
            while self._kept and sum(map(len, self._kept.values())) + len(raw) > KEPT:
                self._kept.popitem(last=False)
        self._kept[where.pack, where.frame] = raw
        data = raw[where.inner : where.inner + where.length]
        if hashlib.sha256(data).digest() != id:
            raise ChunkCorrupt(f"chunk {id.hex()}, the base of a patch, does not match its hash")
        return data
