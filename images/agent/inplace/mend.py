"""Makes a mounted tree that holds an older one exactly the image's; only what differs is written.

First all that is right stays and all that is in the way goes aside (compare.py); then what is marked is
written, from what went aside, from what stands already, and from the server; then the aside folders go. A
run that is broken off anywhere is completed by the next one, which finds what this one had made. Python 3.8,
standard library only.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import NamedTuple

from images.agent.inplace.compare import Compare
from images.agent.inplace.early import Early, Nearest
from images.agent.inplace.places import Place
from images.agent.seed import Bed, Seed
from images.agent.seeded_tree import SeededWriter
from images.agent.update.folders import Folders
from images.ahead import ahead
from images.fetch import PackSource
from images.manifest import Entry, parse_entry
from images.progress import Progress
from images.sealed import SealedManifest, ids_of

FEW = 4 << 20  # bytes of lines


class Mended(NamedTuple):
    """`kept` files were right where they were; `moved` were elsewhere; `found` bytes were on the disk.
    `written`: a byte for each entry of the manifest, 0 where nothing was.
    """

    kept: int
    moved: int
    found: int
    written: bytearray


def mend(
    manifest: SealedManifest,
    packs: PackSource,
    older: Sequence[SealedManifest],
    target: Path,
    places: Mapping[bytes, Place],
    progress: Progress,
) -> Mended:
    """`places`: the file systems mounted at and below `target`, by path in the tree; closed afterwards.
    `older`: manifests that may describe what is there.

    Raises StrangeGround, OSError (the disk), and what `packs` raises.
    """
    tree = Folders(target)
    early = Early(manifest, older, packs)
    try:
        compare = Compare(manifest, tree, places, progress)
        compare.run()
        tree.forget()
        moved, found = 0, compare.kept_bytes
        if any(compare.marks):
            moved, seeded = _write(manifest, packs, older, early, target, places, compare, progress)
            found += seeded
        for place in places.values():
            place.aside.forget()
    finally:
        early.close()
        tree.close()
        for place in places.values():
            place.close()
    return Mended(compare.kept_files, moved, found, compare.marks)


def _write(
    manifest: SealedManifest,
    packs: PackSource,
    older: Sequence[SealedManifest],
    early: Early,
    target: Path,
    places: Mapping[bytes, Place],
    compare: Compare,
    progress: Progress,
) -> tuple[int, int]:
    """What is marked; files moved and bytes that the disk had."""
    beds = [Bed(folder, place.prefix) for place in places.values() for folder in place.aside.folders]
    seed = Seed(beds, target, standing=True)
    try:
        marked = Marked(manifest, compare.marks)
        early.wait()
        _learn(seed, (*older, manifest), marked, early)
        near = Nearest(early, seed)
        missing = (id for line in marked for id in ids_of(line) if not near.holds(id))
        stream = ahead(packs.stream(missing))
        writer = SeededWriter(target, packs, near, stream, progress, manifest.header.bytes)
        writer.bytes = compare.kept_bytes
        with contextlib.closing(stream), contextlib.closing(writer):
            for line in marked:
                writer.add(parse_entry(line))
            writer.finish()
        return seed.reused, seed.bytes
    finally:
        seed.close()


class Marked:
    """The lines of what is to be written. A few are held, so that the manifest need not be unpacked again."""

    def __init__(self, manifest: SealedManifest, marks: bytearray) -> None:
        self._manifest, self._marks = manifest, marks
        self._held: list[bytes] | None = []
        size = 0
        for line in self._found():
            size += len(line)
            if size > FEW:
                self._held = None
                break
            self._held.append(line)

    def __iter__(self) -> Iterator[bytes]:
        return self._found() if self._held is None else iter(self._held)

    def _found(self) -> Iterator[bytes]:
        return (line for line, mark in zip(self._manifest.lines(), self._marks) if mark)  # noqa: B905 - 3.8


def _learn(seed: Seed, known: Sequence[SealedManifest], marked: Iterable[bytes], early: Early) -> None:
    """`known`: manifests that may describe what is there."""
    wanted = {id for line in marked for id in ids_of(line) if early.get(id) is None}
    for one in known:
        if all(seed.holds(id) for id in wanted):
            return
        seed.learn(_holders(one, wanted), wanted)


def _holders(manifest: SealedManifest, wanted: AbstractSet[bytes]) -> Iterator[Entry]:
    """The files that should hold something wanted."""
    for line in manifest.lines():
        if not wanted.isdisjoint(ids_of(line)):
            yield parse_entry(line)
