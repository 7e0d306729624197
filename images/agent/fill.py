"""Puts the image's files on the mounted file systems, with what they held before as seed.

Law: the seed only ever saves time. When the disk does not take part (no room for both trees, a bad place,
files that cannot be moved), the file systems are made new and the image is written from nothing; a server
or network that fails costs nothing of what is there. Python 3.8, standard library only.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Callable, NamedTuple

from images.agent import disk as disks
from images.agent import verify
from images.agent.client import Client
from images.agent.ground import Ground
from images.agent.progress import Meter
from images.agent.run import CommandFailed
from images.agent.seed import Bed, Seed, forget, set_aside
from images.agent.seeded_tree import write_seeded
from images.agent.stash import Stash, free_memory, old_trees
from images.errors import ImageError
from images.fetch import PackSource
from images.locator import Locator
from images.sealed import SealedManifest, open_sealed
from images.sizes import human
from images.tree_writer import Written, write_tree

Say = Callable[[str], None]


class Filled(NamedTuple):
    """What it took: files and bytes of the image, bytes over the network and bytes the disk already had."""

    written: Written
    fetched: int
    seeded: int
    reused: int
    seconds: float

    @property
    def text(self) -> str:
        """For people."""
        rate = self.written.bytes / max(self.seconds, 0.001) / 1e6
        kept = f"{human(self.seeded)} found on the disk, " if self.seeded else ""
        return (
            f"{self.written.files} files, {human(self.written.bytes)}, {kept}"
            f"{human(self.fetched)} fetched, {rate:.1f} MB/s"
        )


class Fill:
    """One image onto one ground."""

    def __init__(
        self, ground: Ground, target: Path, client: Client, key: bytes, work: Path, say: Say
    ) -> None:
        self._ground, self._target, self._client = ground, target, client
        self._key, self._work, self._say = key, work, say
        self._stash: Stash | None = None

    def run(
        self, manifest: SealedManifest, locator: Locator, known: Sequence[Mapping[str, Any]], meter: Meter
    ) -> Filled:
        """`known`: manifests (`manifest` id, `url`) that may describe what is on the disk."""
        fetcher = self._client.copy()
        packs = PackSource(
            locator, lambda pack, start, length: fetcher.get_range(f"/store/packs/{pack}", start, length)
        )
        started = time.monotonic()
        seed: Seed | Stash | None = None
        try:
            if self._ground.reused:
                seed = self._seeded(manifest, packs, known, meter)
        except (CommandFailed, OSError) as error:  # the disk's fault; what the network does is raised
            self._say(f"what was on the disk is given up: {error}")
            self._ground.format_again(manifest.header.files)
        if seed is None:
            disks.mount_all(self._ground.storage, self._target)
        if seed is None and self._stash is not None:
            seed = self._stash
            write_seeded(manifest, packs, seed, self._target, meter)
            seed.close()
        elif seed is None:
            write_tree(manifest, packs, self._target, meter)
        verify.drop_caches()
        meter.finish()
        seeded, reused = (seed.bytes, seed.reused) if seed is not None else (0, 0)
        written = Written(manifest.header.files, manifest.header.bytes)
        return Filled(written, packs.fetched, seeded, reused, time.monotonic() - started)

    def stash(self, manifest: SealedManifest, locator: Locator, known: Sequence[Mapping[str, Any]]) -> None:
        """Before the tables are made new: keeps in memory what the old file systems have of this image."""
        if not self._ground.loses:
            return
        stash = Stash(self._work / "stash", free_memory())
        wanted = locator.ids()
        older = self._known(known, manifest)
        try:
            for tree in old_trees([d.path for d in self._ground.storage.disks], self._say):
                for one in (*older, manifest):
                    stash.gather(tree, one.entries(), wanted)
        except (CommandFailed, OSError) as error:
            self._say(f"what is on the disk is of no use: {error}")
        if len(stash):
            self._say(f"{human(len(stash))} of the old file systems kept in memory")
            self._stash = stash
        else:
            stash.close()

    def _seeded(
        self, manifest: SealedManifest, packs: PackSource, known: Sequence[Mapping[str, Any]], meter: Meter
    ) -> Seed:
        beds, reused = [], []
        for place in disks.mountable(self._ground.storage):
            where = disks.mount(place, self._target)
            if place in self._ground.reused:
                prefix = (place.partition.mount or "/").strip("/").encode()
                beds += [Bed(folder, prefix) for folder in set_aside(where)]
                reused.append(where)
        seed = Seed(beds, self._target)
        try:
            self._say("reading what is on the disk")
            wanted, older = packs.locator.ids(), self._known(known, manifest)
            for one in older:
                seed.learn(one.entries(), wanted)
            if not older or len(beds) > len(reused):  # nothing known, or an imaging was broken off
                seed.learn(manifest.entries(), wanted)
            write_seeded(manifest, packs, seed, self._target, meter)
        finally:
            seed.close()
        for where in reused:
            forget(where)
        return seed

    def _known(self, rows: Sequence[Mapping[str, Any]], manifest: SealedManifest) -> list[SealedManifest]:
        """The older versions' manifests, as far as they are still there and properly signed."""
        found = []
        for number, row in enumerate(rows):
            if row["manifest"] == manifest.id:
                continue
            file = self._work / f"seed{number}"
            try:
                file.write_bytes(self._client.get(str(row["url"])))
                found.append(open_sealed(file, self._key, str(row["manifest"])))
            except ImageError as error:
                self._say(f"the manifest of what was installed is of no use: {error}")
        return found
