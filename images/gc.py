"""Give back the room of chunks that no version names.

Law: safe at any moment beside writers, deploys and itself. Nothing is deleted at once: whole packs are marked
(condemned.py), and packs of which little is used are first copied, what is used of them, into new ones;
locators then point at those. Packs younger than a running session may be its work and are left alone.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple

from images import sessions
from images.condemned import condemn, delete_due
from images.disk import locked
from images.errors import BadInput, ChunkMissing
from images.fetch import unpack
from images.index import Index
from images.locator import Frame, Locator
from images.marks import marked
from images.pack import SUFFIX, Trailer, read_frames, read_trailer
from images.progress import Progress
from images.session import PackStream
from images.shelf import Shelf

KEEP = 0.6  # a pack of which less is used is rewritten


class GcReport(NamedTuple):
    """What was done: packs marked for deletion, rewritten, deleted; bytes given back now, and bytes of packs
    that are marked and wait for their time.
    """

    condemned: int
    rewritten: int
    deleted: int
    freed: int
    waiting: int = 0


def collect(store: Shelf, progress: Progress, grace: float) -> GcReport:
    """See ImageStore.gc. Raises what reading a manifest raises: with one unreadable, nothing is deleted."""
    with locked(store.lock):
        live = _live(store, progress)
        index = store.open_index()
        try:
            unused, thin = _judge(store, index, live)
            for number, pack in enumerate(thin):
                progress(number, len(thin), f"rewriting pack {pack.hex()[:12]}")
                rewrite(store, index, pack, live)
            condemn(store, index, [*unused, *thin])
        finally:
            index.close()
        _turn_locators(store)
        sizes = {path.stem: path.stat().st_size for path in store.packs.glob("*" + SUFFIX)}
        gone = delete_due(store, time.time(), grace, sessions.oldest(store.sessions))
        _sweep(store)
        freed = sum(sizes.get(pack.hex(), 0) for pack in gone)
        waiting = sum(sizes.get(pack.hex(), 0) for pack in marked(store.condemned))
        return GcReport(len(unused) + len(thin), len(thin), len(gone), freed, waiting)


def _live(store: Shelf, progress: Progress) -> set[bytes]:
    versions = store.versions()
    live: set[bytes] = set()
    for number, version in enumerate(versions):
        progress(number, len(versions), f"reading {version.ref}")
        live.update(chunk.id for chunk in store.manifest(version.id).chunks())
    return live


def _judge(store: Shelf, index: Index, live: set[bytes]) -> tuple[list[bytes], list[bytes]]:
    """(packs nobody needs, packs of which too little is needed)."""
    young = sessions.oldest(store.sessions)
    unused: list[bytes] = []
    thin: list[bytes] = []
    for pack in index.packs():
        path = store.packs / (pack.hex() + SUFFIX)
        if young is not None and path.stat().st_mtime >= young - 1:
            continue
        total = sum(row.length for row in read_trailer(path).chunks)
        used = sum(length for id, length in index.chunks_of(pack) if id in live)
        if not used:
            unused.append(pack)
        elif used < KEEP * total:
            thin.append(pack)
    return unused, thin


def rewrite(store: Shelf, index: Index, pack: bytes, wanted: set[bytes]) -> None:
    """Copy those chunks of a pack that the index takes from it into new packs, and point the index there."""
    path = store.packs / (pack.hex() + SUFFIX)
    trailer = read_trailer(path)
    mine = {id for id, _ in index.chunks_of(pack) if id in wanted}
    stream = PackStream(store.packs, store.temp)
    try:
        for id, data in good_chunks(pack, trailer, store):
            if id in mine:
                stream.add(id, data)
        stream.flush()
    finally:
        stream.close()
    for new in stream.finished:
        index.add(new, replace=True)


def good_chunks(pack: bytes, trailer: Trailer, store: Shelf) -> Iterator[tuple[bytes, bytes]]:
    """(id, bytes) of every chunk of the pack that is whole; damaged ones are left out."""
    by_frame: dict[int, list[tuple[bytes, int, int]]] = {}
    for row in trailer.chunks:
        by_frame.setdefault(row.frame, []).append((row.id, row.inner, row.length))
    for number, stored in read_frames(store.packs / (pack.hex() + SUFFIX), trailer):
        frame = trailer.frames[number]
        try:
            raw = unpack(Frame(pack.hex(), *frame[:4]), stored)
        except BadInput:
            continue
        for id, inner, length in by_frame.get(number, []):
            data = raw[inner : inner + length]
            if hashlib.sha256(data).digest() == id:
                yield id, data


def _turn_locators(store: Shelf) -> None:
    """No locator points into a pack that will be deleted; also after a gc that was killed on its way here."""
    doomed = {pack.hex() for pack in marked(store.condemned)}
    for version in store.versions() if doomed else ():
        with suppress(ChunkMissing):  # a chunk was lost before: `verify` tells whose
            try:
                stale = not doomed.isdisjoint(Locator.parse(store.locator(version.id)).packs)
            except BadInput:
                stale = True
            if stale:
                store.rebuild_locator(version.id)


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
