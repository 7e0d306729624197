"""Give back the room of chunks that no version names.

Law: safe at any moment beside writers, deploys and itself. Nothing is deleted at once: whole packs are marked
(condemned.py), and packs of which little is used are first copied, what is used of them, into new ones;
locators then point at those. Packs younger than a running session may be its work and are left alone. What
a patch starts from is used as long as the patch is.
"""

from __future__ import annotations

import errno
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple

from images import sessions
from images.condemned import condemn, delete_due
from images.disk import locked
from images.errors import BadInput, ChunkMissing
from images.index import Index
from images.locator import Locator
from images.marks import marked
from images.pack import SUFFIX, read_trailer
from images.progress import Progress
from images.rebuild import refuse_lost
from images.rewriting import rewrite
from images.shelf import Shelf

KEEP = 0.6  # a pack of which less is used is rewritten
SPARED = 0.6  # of its chunks' bytes a patch spares about so much, beside what it takes itself

LITTLE = 16 << 20  # bytes of room: with less the index stays in memory


class GcReport(NamedTuple):
    """What was done: packs marked for deletion, rewritten, deleted; bytes given back now, and bytes of packs
    that are marked and wait for their time; packs that the disk had no room to rewrite.
    """

    condemned: int
    rewritten: int
    deleted: int
    freed: int
    waiting: int = 0
    left: int = 0


def collect(store: Shelf, progress: Progress, grace: float) -> GcReport:
    """See ImageStore.gc. Raises what reading a manifest raises: with one unreadable, or with a name's
    catalogue lost, nothing is deleted.
    """
    with locked(store.lock):
        refuse_lost(store)
        if shutil.disk_usage(store.root).free >= LITTLE:
            try:
                return _collect(store, progress, grace, memory=False)
            except OSError as error:
                if error.errno != errno.ENOSPC or error.filename != str(store.index):
                    raise
        return _collect(store, progress, grace, memory=True)  # what room there is, is for packs


def _collect(store: Shelf, progress: Progress, grace: float, memory: bool) -> GcReport:
    live = _live(store, progress)
    index = store.open_index(memory)
    try:
        young = sessions.oldest(store.sessions)
        pins = _Pins(store, index, live, young)
        work = _Rewriting(store, index, progress)
        costly = work.all(pins.costly(), live | pins.bases, plain=True)
        if costly:
            condemn(store, index, costly)
            pins = _Pins(store, index, live, young)
        live |= pins.bases
        unused, thin = _judge(store, index, live, young, pins.hollow)
        thin = work.all(thin, live)
        condemn(store, index, [*unused, *thin])
        _turn_locators(store, index)
    finally:
        index.close()
    sizes = {path.stem: path.stat().st_size for path in store.packs.glob("*" + SUFFIX)}
    gone = delete_due(store, time.time(), grace, sessions.oldest(store.sessions))
    _sweep(store)
    freed = sum(sizes.get(pack.hex(), 0) for pack in gone)
    waiting = sum(sizes.get(pack.hex(), 0) for pack in marked(store.condemned))
    rewritten = len(thin) + len(costly)
    return GcReport(len(unused) + rewritten, rewritten, len(gone), freed, waiting, work.left)


class _Rewriting:
    """Copies out of packs that are to go, as long as the disk has room; `left`: how many it had none for."""

    def __init__(self, store: Shelf, index: Index, progress: Progress) -> None:
        self._store, self._index, self._progress = store, index, progress
        self.left = 0

    def all(self, packs: list[bytes], wanted: set[bytes], plain: bool = False) -> list[bytes]:
        """Those of `packs` that were copied. Raises OSError, of a full disk only where the index is."""
        done: list[bytes] = []
        for number, pack in enumerate(packs):
            self._progress(number, len(packs), f"rewriting pack {pack.hex()[:12]}")
            try:
                rewrite(self._store, self._index, pack, wanted, plain)
            except OSError as error:
                full = error.errno in (errno.ENOSPC, errno.EDQUOT)
                if not full or error.filename == str(self._store.index):
                    raise
                self.left += len(packs) - number
                break
            done.append(pack)
        return done


def _live(store: Shelf, progress: Progress) -> set[bytes]:
    versions = store.versions()
    live: set[bytes] = set()
    for number, version in enumerate(versions):
        progress(number, len(versions), f"reading {version.ref}")
        live.update(chunk.id for chunk in store.manifest(version.id).chunks())
    return live


class _Pins:
    """What patches start from, and whether that is worth it."""

    def __init__(self, store: Shelf, index: Index, live: set[bytes], young: float | None) -> None:
        self.bases: set[bytes] = set()
        unused: list[tuple[bytes, list[bytes]]] = []
        self._store, self._index, self._live = store, index, live
        self._over: dict[bytes, set[bytes]] = {}  # pack with patches -> bases that no version names
        self._used: dict[bytes, set[bytes]] = {}  # and the chunks that are used of those patches
        for pack, members, bases in index.patches():
            used = members & live
            fresh = _young(store, pack, young)
            if not used and not fresh:
                unused.append((pack, bases))
                continue
            self.bases.update(bases)
            extra = set(bases) - live
            if extra and not fresh:
                self._over.setdefault(pack, set()).update(extra)
                self._used.setdefault(pack, set()).update(used)
        kept = live | self.bases
        # Packs with patches that would stay behind without their bases: they are told damaged by `verify`.
        self.hollow = {pack for pack, bases in unused if not kept.issuperset(bases)}

    def costly(self) -> list[bytes]:
        """Packs whose patches keep more bytes from going than they spare: the version that they start from
        was removed, and little else stands on it.
        """
        extra = set().union(*self._over.values())
        used = set().union(*self._used.values())
        held = sum(self._lengths(extra))
        return sorted(self._over) if held > sum(self._lengths(used)) * SPARED else []

    def _lengths(self, ids: set[bytes]) -> Iterator[int]:
        return (length for _, _, _, _, length in self._index.spots(sorted(ids)))


def _young(store: Shelf, pack: bytes, young: float | None) -> bool:
    return young is not None and (store.packs / (pack.hex() + SUFFIX)).stat().st_mtime >= young - 1


def _judge(
    store: Shelf, index: Index, live: set[bytes], young: float | None, hollow: set[bytes]
) -> tuple[list[bytes], list[bytes]]:
    """(packs nobody needs, packs to be rewritten: too little of them is needed, or they are `hollow`)."""
    unused: list[bytes] = []
    thin: list[bytes] = []
    for pack in index.packs():
        path = store.packs / (pack.hex() + SUFFIX)
        if _young(store, pack, young):
            continue
        total = sum(row.length for row in read_trailer(path).chunks)
        used = sum(length for id, length in index.chunks_of(pack) if id in live)
        if not used:
            unused.append(pack)
        elif used < KEEP * total or pack in hollow:
            thin.append(pack)
    return unused, thin


def _turn_locators(store: Shelf, index: Index) -> None:
    """No locator points into a pack that will be deleted; also after a gc that was killed on its way here."""
    doomed = {pack.hex() for pack in marked(store.condemned)}
    for version in store.versions() if doomed else ():
        with suppress(ChunkMissing):  # a chunk was lost before: `verify` tells whose
            try:
                stale = not doomed.isdisjoint(Locator.parse(store.locator(version.id)).packs)
            except BadInput:
                stale = True
            if stale:
                store.rebuild_locator(version.id, index)


def _sweep(store: Shelf) -> None:
    """Leftovers of killed writers, and manifests and locators that no catalogue names."""
    if sessions.oldest(store.sessions) is None:
        for path in store.temp.glob("*.tmp"):
            path.unlink(missing_ok=True)
    named = {version.id for version in store.versions()}
    for folder in (store.manifests, store.locators):
        for path in folder.iterdir():
            if path.name not in named:
                path.unlink(missing_ok=True)
