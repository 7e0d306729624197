"""Writes an image's tree with what the disk held before: files are moved, chunks copied, the rest fetched.

The result is the same tree as from a blank disk, to the last attribute. Chunks that the seed promised and
then does not have (a disk that lies) are fetched like any other. Python 3.8, standard library only.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from images.ahead import Data, ahead
from images.fetch import PackSource
from images.manifest import Chunk, Entry
from images.progress import Progress
from images.sealed import SealedManifest
from images.tree_writer import TreeWriter, Written


class Source(Protocol):
    """Who may have chunks, and whole files, nearer than the server: a Seed, a Stash."""

    def holds(self, id: bytes) -> bool: ...

    def read(self, chunk: Chunk) -> bytes | None: ...

    def take(self, entry: Entry, name: bytes, parent: int) -> bool: ...


def write_seeded(
    manifest: SealedManifest, packs: PackSource, seed: Source, target: Path, progress: Progress
) -> Written:
    """Like `tree_writer.write_tree`. `target` holds nothing but what the seed set aside."""
    missing = (id for id in manifest.ids() if not seed.holds(id))
    stream = ahead(packs.stream(missing))
    writer = SeededWriter(target, packs, seed, stream, progress, manifest.header.bytes)
    with contextlib.closing(stream), contextlib.closing(writer):
        for entry in manifest.entries():
            writer.add(entry)
        writer.finish()
    return Written(writer.files, writer.bytes)


class SeededWriter(TreeWriter):
    """Writes entries in manifest order; `stream` hands out the chunks that the seed has not."""

    def __init__(
        self,
        target: Path,
        packs: PackSource,
        seed: Source,
        stream: Iterator[Data],
        progress: Progress,
        total: int,
    ) -> None:
        super().__init__(target, stream, progress, total)
        self._packs, self._seed = packs, seed

    def _file(self, entry: Entry, name: bytes, parent: int) -> None:
        if not self._seed.take(entry, name, parent):
            super()._file(entry, name, parent)
            return
        before, self.bytes = self.bytes, self.bytes + entry.size
        if before >> 20 != self.bytes >> 20:
            self._progress(self.bytes, self._total, entry.name)

    def _take(self, chunk: Chunk) -> Data:
        if not self._seed.holds(chunk.id):
            return super()._take(chunk)
        data = self._seed.read(chunk)
        return data if data is not None else self._packs.get(chunk.id)
