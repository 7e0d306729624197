"""Fetches, while the disk is still being compared, what no version that it may hold has: network and disk
take their time beside each other.

Law: only time is saved. It is bounded, and should the disk have more than was known (a run before this one
was broken off), no more than BYTES came for nothing. What does not come is left to whoever needs it: there
the error is raised, if it has not passed. Python 3.8, standard library only.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Sequence
from typing import Dict

from images.agent.seed import Seed
from images.errors import ImageError
from images.fetch import PackSource
from images.manifest import Chunk, Entry
from images.sealed import SealedManifest

BYTES, CHUNKS = 24 << 20, 2000  # at most
NAMES = 300_000  # in the older versions; of more, the ids would take too much memory


class Early:
    """Begins at once, in a thread of its own. `older`: what the disk may hold; without any, it rests."""

    def __init__(self, manifest: SealedManifest, older: Sequence[SealedManifest], packs: PackSource) -> None:
        self._manifest, self._older, self._packs = manifest, older, packs
        self._data: Dict[bytes, bytes] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="early", daemon=True)
        if older and sum(one.header.files for one in older) <= NAMES:
            self._thread.start()

    def _work(self) -> None:
        with contextlib.suppress(ImageError, OSError):  # see above
            chosen = self._choose()
            with contextlib.closing(self._packs.stream(iter(chosen))) as stream:  # type: ignore[type-var]
                for id in chosen:
                    if self._stop.is_set():
                        return
                    self._data[id] = next(stream)

    def _choose(self) -> Dict[bytes, None]:
        """In the order in which they will be written."""
        known = {id for one in self._older for id in one.ids()}
        chosen: Dict[bytes, None] = {}
        room = BYTES
        for id in self._manifest.ids():
            if id in known or id in chosen:
                continue
            room -= self._packs.locator.find(id).length
            if room < 0 or len(chosen) == CHUNKS or self._stop.is_set():
                break
            chosen[id] = None
        return chosen

    def wait(self) -> None:
        """Until all of it is here."""
        if self._thread.ident is not None:
            self._thread.join()

    def close(self) -> None:
        """Ends it; nothing is fetched any more when this returns."""
        self._stop.set()
        self.wait()
        self._data.clear()

    def get(self, id: bytes) -> bytes | None:
        """The chunk's bytes, which were checked; None when it is not here."""
        return self._data.get(id)


class Nearest:
    """A seed, and what came early (`Source`, see seeded_tree.py)."""

    def __init__(self, early: Early, seed: Seed) -> None:
        self._early, self._seed = early, seed

    def holds(self, id: bytes) -> bool:
        """Whether the chunk need not be fetched."""
        return self._early.get(id) is not None or self._seed.holds(id)

    def read(self, chunk: Chunk) -> bytes | None:
        """The chunk's bytes; None when they turn out not to be there."""
        data = self._early.get(chunk.id)
        return data if data is not None else self._seed.read(chunk)

    def take(self, entry: Entry, name: bytes, parent: int) -> bool:
        """Moves a whole old file to its new place, if there is one."""
        return self._seed.take(entry, name, parent)
