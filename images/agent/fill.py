"""Puts the image's files on the mounted file systems; ones that hold an older tree are mended where they are.

Law: what is there only ever saves time. When the disk does not take part (no room for what differs, a bad
place, something that only a new file system gets rid of), the file systems are made new and the image is
written from nothing; a server or network that fails costs nothing of what is there. Python 3.8, standard
library only.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Callable, NamedTuple

from images.agent import disk as disks
from images.agent import verify
from images.agent.client import Client, packs_by
from images.agent.ground import Ground
from images.agent.inplace.compare import StrangeGround
from images.agent.inplace.mend import Mended, mend
from images.agent.inplace.places import Place, clear_way
from images.agent.progress import Meter
from images.agent.run import CommandFailed
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
    note: str = ""  # why nothing of the disk was used, if it should have been
    marks: Sequence[int] | None = None  # for each entry of the image, whether it was written; None: all were

    @property
    def text(self) -> str:
        """For people."""
        rate = self.written.bytes / max(self.seconds, 0.001) / 1e6
        kept = f"{human(self.seeded)} found on the disk, " if self.seeded else ""
        return (
            f"{self.written.files} files, {human(self.written.bytes)}, {kept}"
            f"{human(self.fetched)} fetched, {rate:.1f} MB/s{self.note}"
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
        packs = PackSource(locator, packs_by(self._client))
        started = time.monotonic()
        found = None
        note = ""
        try:
            if self._ground.reused:
                found = self._mended(manifest, packs, known, meter)
        except (CommandFailed, OSError, StrangeGround) as error:  # the disk's fault; the network's is raised
            note = f", made new: {error}"
            self._say(f"what was on the disk is given up: {error}")
            self._ground.format_again(manifest.header.files)
        seeded, reused = (found.found, found.kept + found.moved) if found is not None else (0, 0)
        if found is None:
            disks.mount_all(self._ground.storage, self._target)
            if self._stash is not None:
                write_seeded(manifest, packs, self._stash, self._target, meter)
                seeded = self._stash.bytes
                self._stash.close()
            else:
                write_tree(manifest, packs, self._target, meter)
        marks = found.written if found is not None else None
        if marks is None or any(marks):
            verify.drop_caches()
        meter.finish()
        written = Written(manifest.header.files, manifest.header.bytes)
        return Filled(written, packs.fetched, seeded, reused, time.monotonic() - started, note, marks)

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

    def _mended(
        self, manifest: SealedManifest, packs: PackSource, known: Sequence[Mapping[str, Any]], meter: Meter
    ) -> Mended:
        places: dict[bytes, Place] = {}
        try:
            for place in disks.mountable(self._ground.storage):
                prefix = (place.partition.mount or "/").strip("/").encode()
                clear_way(self._target, prefix, places)
                where = disks.mount(place, self._target)
                room = os.statvfs(where)
                if place in self._ground.reused and room.f_blocks * room.f_frsize < place.size // 2:
                    raise StrangeGround(f"the file system on {place.device} fills less than half of it")
                # Only these say where on the device a file is.
                plain = place.partition.fs in ("ext4", "xfs")
                places[prefix] = Place(where, prefix, place.device if plain else None)
            older = self._known(known, manifest)
            self._say("comparing what is on the disk")
            return mend(manifest, packs, older, self._target, places, meter)
        finally:
            for each in places.values():
                each.close()

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
