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
import os
import time
from collections import deque
from collections.abc import Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import Any

from images import chunker
from images.ahead import Data, ahead
from images.compress import compress
from images.fetch import PackSource
from images.locator import Locator
from images.locator_writer import build
from images.manifest import Chunk
from images.pack import PackWriter, Trailer
from images.publish import publish
from images.sessions import Marker
from images.shelf import Shelf
from images.spool import Spool
from images.versions import Version

# Unpacked bytes per frame. 1 MiB stores 2% less, but a later version that shares half a frame fetches more.
FRAME = 512 << 10
PACK = 64 << 20  # stored bytes per pack
KNOWN = 300_000  # chunk ids kept in memory (about 30 MB); a larger store asks its index each time

Member = tuple[bytes, int, int]  # chunk id, offset in its frame, length


class PackStream:
    """Chunks in, finished packs out: gathers frames, compresses them in threads, starts a new pack when one
    is full.

    `finished` collects the trailers of durable packs.
    """

    def __init__(self, folder: Path, temp: Path) -> None:
        self._folder = folder
        self._temp = temp
        self._workers = max(2, os.cpu_count() or 2)
        self._threads = ThreadPoolExecutor(self._workers, thread_name_prefix="compress")
        self._jobs: deque[tuple[Future[tuple[int, bytes]], int, list[Member]]] = deque()
        self._closer = ThreadPoolExecutor(1, thread_name_prefix="pack")  # forcing to disk waits; we need not
        self._closing: deque[Future[Trailer]] = deque()
        self._pack: PackWriter | None = None
        self._parts: list[Data] = []
        self._members: list[Member] = []
        self._raw = 0
        self.finished: list[Trailer] = []

    def add(self, id: bytes, data: Data) -> None:
        """Take one chunk. Raises OSError when an earlier frame could not be written."""
        if self._members and self._raw + len(data) > FRAME:
            self._submit()
        self._members.append((id, self._raw, len(data)))
        self._parts.append(data)
        self._raw += len(data)

    def flush(self) -> None:
        """Make everything taken so far durable."""
        if self._members:
            self._submit()
        while self._jobs:
            self._store()
        self._finish()
        while self._closing:
            self.finished.append(self._closing.popleft().result())

    def close(self) -> None:
        """Drop what is not in a finished pack."""
        self._threads.shutdown(wait=True, cancel_futures=True)
        self._closer.shutdown(wait=True)
        if self._pack:
            self._pack.abort()
            self._pack = None

    def _submit(self) -> None:
        job = self._threads.submit(compress, b"".join(self._parts))
        self._jobs.append((job, self._raw, self._members))
        self._parts, self._members, self._raw = [], [], 0
        while len(self._jobs) > 2 * self._workers or (self._jobs and self._jobs[0][0].done()):
            self._store()

    def _store(self) -> None:
        job, raw, members = self._jobs.popleft()
        codec, stored = job.result()
        if self._pack is None:
            self._pack = PackWriter(self._folder, self._temp)
        self._pack.add(codec, stored, raw, members)
        if self._pack.size >= PACK:
            self._finish()

    def _finish(self) -> None:
        if self._pack:
            self._closing.append(self._closer.submit(_finished, self._pack))
            self._pack = None
        while len(self._closing) > 1 or (self._closing and self._closing[0].done()):
            self.finished.append(self._closing.popleft().result())


def _finished(pack: PackWriter) -> Trailer:
    try:
        return pack.finish()
    except BaseException:
        pack.abort()
        raise


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
        self._index = store.open_index()
        self._packs = PackStream(store.packs, store.temp)
        self._known = self._index.ids(KNOWN)  # asked before the index; what others add later costs only room
        self._pending: set[bytes] = set()  # taken, but in no indexed pack yet
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
        return self._index.has(id) if self._known is None else id in self._known

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
        return publish(self.store, self._index, self.tree, name, comment, parent, facts, now, kind)

    def _note(self) -> None:
        """Tell the index about packs that are durable now."""
        while self._packs.finished:
            trailer = self._packs.finished.pop(0)
            self._index.add(trailer)
            ids = {row.id for row in trailer.chunks}
            self._pending -= ids
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
