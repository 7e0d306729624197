"""The bytes of files that must be made, from the cheapest place that has them: this machine's own files, a
binary patch against an old file, the server's packs.

Law: every chunk is hashed before it is handed out, wherever it came from; what fails its hash is fetched.
What comes from the server is one ordered stream, so its ranges are large and few. Python 3.8, standard
library only.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Callable, Optional, Protocol

from images.agent.update.fresh import Fresh
from images.agent.update.lines import path_of
from images.agent.update.seeds import Seeds
from images.ahead import Data
from images.errors import ImageError
from images.fetch import PackSource
from images.manifest import Chunk, Entry
from images.sealed import ids_of

Patched = Callable[[Entry], "Iterator[bytes]"]  # a file made by its patch, in pieces of any size


class Patches(Protocol):
    """The files that have a patch, by path."""

    def __contains__(self, path: bytes) -> bool: ...

    def get(self, path: bytes) -> Optional[Patched]: ...


class Supply:
    """Chunks for `entries` in order. `patches`: paths that have one, made by `patched`."""

    def __init__(self, entries: Fresh, seeds: Seeds, source: PackSource, patches: Patches) -> None:
        self._entries, self._seeds, self._source, self._patches = entries, seeds, source, patches
        self.patched = 0  # files made by a patch

    def stream(self) -> Iterator[Data]:
        """Every chunk of every entry, in order."""
        far = self._source.stream(self._from_server())
        for entry in self._entries:
            needed = any(chunk.id not in self._seeds for chunk in entry.chunks)
            patch = self._patches.get(entry.path) if needed else None
            if patch is not None:
                yield from self._by_patch(entry, patch)
            else:
                for chunk in entry.chunks:
                    yield self._one(chunk, far)

    def _from_server(self) -> Iterator[bytes]:
        for line in self._entries.lines():
            if path_of(line) not in self._patches:
                yield from (id for id in ids_of(line) if id not in self._seeds)

    def _one(self, chunk: Chunk, far: Iterator[bytes]) -> bytes:
        if chunk.id not in self._seeds:
            return next(far)
        return self._seeds.get(chunk.id) or self._source.get(chunk.id)

    def _by_patch(self, entry: Entry, patch: Patched) -> Iterator[Data]:
        """The patch's output cut into the entry's chunks; from the first that is wrong on, without it."""
        made = patch(entry)
        held = memoryview(b"")
        for number, chunk in enumerate(entry.chunks):
            try:
                if len(held) < chunk.length:
                    held = _more(held, made, chunk.length)
            except (StopIteration, ImageError, OSError):
                held = memoryview(b"")
            data, held = held[: chunk.length], held[chunk.length :]
            if hashlib.sha256(data).digest() != chunk.id:
                yield from self._without(entry.chunks[number:])
                return
            yield data
        self.patched += 1

    def _without(self, chunks: Sequence[Chunk]) -> Iterator[bytes]:
        """In one stream, as the others: each by itself would bring its whole frame along."""
        far = self._source.stream(chunk.id for chunk in chunks if chunk.id not in self._seeds)
        for chunk in chunks:
            yield self._one(chunk, far)


def _more(held: memoryview, made: Iterator[bytes], wanted: int) -> memoryview:
    """At least `wanted` bytes of what comes next; a piece that has them all is not copied. Raises
    StopIteration.
    """
    if not held:
        piece = memoryview(next(made))
        if len(piece) >= wanted:
            return piece
        held = piece
    parts, size = [held], len(held)
    while size < wanted:
        parts.append(memoryview(next(made)))
        size += len(parts[-1])
    return memoryview(b"".join(parts))
