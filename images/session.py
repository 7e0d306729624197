"""A writer: takes bytes and entries, stores what the store lacks, and publishes the whole as one version.

Law: a version appears at once and complete, or not at all. Packs are durable before the index names them, all
chunks are indexed before a manifest names them, the manifest is durable before the catalogue names it.
Killed in between, a writer leaves packs that nobody names: the next try finds its chunks there, gc takes
the rest. Two writers at once are safe: each writes its own packs (at worst a chunk twice), publishing takes
turns.

Compression runs in threads beside the caller's reading and hashing; a session itself belongs to one thread.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import replace
from types import TracebackType
from typing import Any

from images import chunker
from images.ahead import Data, ahead
from images.fetch import PackSource
from images.lineage import Fresh
from images.locator import Locator
from images.locator_writer import build
from images.manifest import Chunk
from images.pack import Trailer
from images.packstream import PackStream
from images.publish import publish
from images.sessions import Marker
from images.shelf import Shelf
from images.spool import Spool
from images.versions import Version

KNOWN = 300_000  # chunk ids kept in memory (about 30 MB); a larger store asks its index each time


class _After:
    """Reads what was read already, then the rest."""

    def __init__(self, first: bytes, read: chunker.Read) -> None:
        self._first, self._read = first, read

    def __call__(self, size: int, /) -> bytes:
        first, self._first = self._first, b""
        return first or self._read(size)


class Session:
    """One import or capture. Use as a context manager; leaving it without `publish` publishes nothing."""

    def __init__(self, store: Shelf) -> None:
        self.store = store
        self._marker = Marker(store.sessions)
        try:
            self._index = store.open_index()
        except BaseException:
            self._marker.close()
            raise
        self._packs = PackStream(store.packs, store.temp)
        self._orphans = self._index.orphans()  # patches of what is lost: stored anew when they come again
        self._known = self._index.ids(KNOWN)  # asked before the index; what others add later costs only room
        if self._known is not None:
            self._known -= self._orphans
        self._pending: set[bytes] = set()  # taken, but in no indexed pack yet
        self._mine: list[Trailer] = []  # packs that this session wrote
        self.tree = Spool(store.temp)
        self.added = 0  # bytes that the store lacked, before compression

    def put(self, data: Data) -> Chunk:
        """Store one chunk (1 byte or more) unless it is there. Raises OSError (disk full)."""
        chunk = Chunk(hashlib.sha256(data).digest(), len(data))
        self.take(chunk.id, data)
        return chunk

    def take(self, id: bytes, data: Data) -> None:
        """The same for who has worked out its id (its sha256) already."""
        if not self.has(id):
            self._pending.add(id)
            self._packs.add(id, data)
            self.added += len(data)
            self._note()

    def has(self, id: bytes) -> bool:
        """Whether the store, or this session, has the chunk."""
        if id in self._pending:
            return True
        if self._known is not None:
            return id in self._known
        return id not in self._orphans and self._index.has(id)

    def keep(self) -> None:
        """Make every chunk taken so far durable, whatever becomes of this session. Raises OSError."""
        self._packs.flush()
        self._note()

    def read(self, chunks: Iterable[Chunk]) -> bytes:
        """The bytes of chunks that this session took. Raises ChunkMissing, OSError."""
        ids = [chunk.id for chunk in chunks]
        if not ids:
            return b""
        self.keep()
        locator, _ = build("", ids, self._index)
        return b"".join(PackSource(Locator.parse(locator), self.store.read_range).stream(ids))

    def put_stream(self, read: chunker.Read) -> tuple[Chunk, ...]:
        """Store everything `read` gives, cut by content. Memory stays small whatever its size; of much it is
        called in another thread, while this one waits here.
        """
        first = chunker.fill(read)
        if len(first) < chunker.BUFFER:
            return self.put_whole(first)
        with closing(ahead(chunker.cut(_After(first, read)))) as pieces:
            return tuple(self.put(piece) for piece in pieces)

    def put_whole(self, data: bytes) -> tuple[Chunk, ...]:
        """Store a file of which `data` is all, cut by content."""
        return tuple(self.put(piece) for piece in chunker.cut_whole(data))

    def publish(
        self, name: str, comment: str = "", parent: str | None = None, meta: Mapping[str, Any] | None = None,
        kind: str = "tree",
    ) -> Version:  # fmt: skip
        """Make the tree the next version of `name`. `parent` is a version id; default is the latest one's.

        Raises BadInput for a bad name or an empty tree, OSError; then nothing was published.
        """
        self.keep()
        facts, now = dict(meta or {}), time.time()
        fresh = Fresh(self._mine, self._marker)
        made = publish(self.store, self._index, self.tree, name, comment, parent, facts, now, kind, fresh)
        return replace(made, added=self.added)

    def _note(self) -> None:
        """Tell the index about packs that are durable now."""
        while self._packs.finished:
            trailer = self._packs.finished.pop(0)
            self._mine.append(trailer)
            self._index.add(trailer)
            ids = {row.id for row in trailer.chunks}
            self._pending -= ids
            self._orphans -= ids
            if self._known is not None:
                self._known |= ids

    def close(self) -> None:
        """Release everything. What is in finished packs stays for the next try."""
        self._packs.close()
        self.tree.close()
        self._index.close()
        self._marker.close()

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
