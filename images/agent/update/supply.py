"""The bytes of files that must be made, from the cheapest place that has them: this machine's own files, a
binary patch against an old file, the server's packs.

Law: every chunk is hashed before it is handed out, wherever it came from; what fails its hash is fetched.
What comes from the server is one ordered stream, so its ranges are large and few. Python 3.8, standard
library only.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Callable, List, Optional

from images.agent.update.seeds import Seeds
from images.errors import ImageError
from images.fetch import PackSource
from images.manifest import Chunk, Entry

Patched = Callable[[Entry], "Iterator[bytes]"]  # a file made by its patch, in pieces of any size


class Supply:
    """Chunks for `entries` in order. `patches`: paths that have one, made by `patched`."""

    def __init__(
        self, entries: Sequence[Entry], seeds: Seeds, source: PackSource, patches: Mapping[bytes, Patched]
    ) -> None:
        self._entries, self._seeds, self._source, self._patches = entries, seeds, source, patches
        self.patched = 0  # files made by a patch

    def stream(self) -> Iterator[bytes]:
        """Every chunk of every entry, in order."""
        far = self._source.stream(self._from_server())
        for entry in self._entries:
            patch = self._patches.get(entry.path) if self._needs(entry) else None
            if patch is not None:
                yield from self._by_patch(entry, patch)
            else:
                for chunk in entry.chunks:
                    yield self._one(chunk, far)

    def _needs(self, entry: Entry) -> bool:
        return any(chunk.id not in self._seeds for chunk in entry.chunks)

    def _from_server(self) -> Iterator[bytes]:
        for entry in self._entries:
            if entry.path not in self._patches or not self._needs(entry):
                yield from (chunk.id for chunk in entry.chunks if chunk.id not in self._seeds)

    def _one(self, chunk: Chunk, far: Iterator[bytes]) -> bytes:
        if chunk.id not in self._seeds:
            return next(far)
        return self._seeds.get(chunk.id) or self._source.get(chunk.id)

    def _by_patch(self, entry: Entry, patch: Patched) -> Iterator[bytes]:
        """The patch's output cut into the entry's chunks; from the first that is wrong on, without it."""
        made: Optional[Iterator[bytes]] = patch(entry)
        held = b""
        failed = False
        self.patched += 1
        for chunk in entry.chunks:
            data = b""
            if made is not None:
                try:
                    parts: List[bytes] = [held]
                    size = len(held)
                    while size < chunk.length:
                        parts.append(next(made))
                        size += len(parts[-1])
                    joined = b"".join(parts)
                    data, held = joined[: chunk.length], joined[chunk.length :]
                except (StopIteration, ImageError, OSError):
                    made = None
            if made is None or hashlib.sha256(data).digest() != chunk.id:
                self.patched -= not failed
                made, failed = None, True
                data = self._seeds.get(chunk.id) or self._source.get(chunk.id)
            yield data
