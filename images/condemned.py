"""Packs that gc wants gone: marked first, deleted later, so that whoever still counts on them is not hurt.

A marked pack is offered to no writer any more. It is deleted when the grace time has passed (a node may be
fetching by an old locator) and every session that began before the mark has ended. A session that saw its
chunks earlier and publishes in the meantime takes the pack back here.
"""

from __future__ import annotations

from collections.abc import Iterable

from images.disk import sync_dir, write_file
from images.errors import BadInput, ChunkMissing
from images.index import Index
from images.marks import marked
from images.pack import SUFFIX, delete_pack, read_trailer
from images.shelf import Shelf

_DAMAGED = b"damaged"


def condemn(store: Shelf, index: Index, packs: Iterable[bytes], damaged: bool = False) -> None:
    """Mark packs and stop offering them; `damaged` ones are never taken back. Call under the store's lock."""
    wanted = list(packs)
    mark(store, wanted, damaged)
    index.drop(wanted)


def mark(store: Shelf, packs: Iterable[bytes], damaged: bool = False) -> None:
    """Only mark them."""
    for pack in packs:
        write_file(store.condemned / pack.hex(), _DAMAGED if damaged else b"")


def delete_due(store: Shelf, now: float, grace: float, oldest_session: float | None) -> list[bytes]:
    """Delete what is due; returns the raw ids. Call under the store's lock."""
    gone = []
    for pack, since in marked(store.condemned).items():
        if now - since < grace or (oldest_session is not None and oldest_session <= since):
            continue
        delete_pack(store.packs / (pack.hex() + SUFFIX))
        (store.condemned / pack.hex()).unlink(missing_ok=True)
        gone.append(pack)
    if gone:
        sync_dir(store.condemned)
    return gone


def restore(store: Shelf, index: Index, ids: Iterable[bytes]) -> None:
    """Make sure every chunk is in a pack that stays, and what it is a patch of; take marked packs back for
    it. Raises ChunkMissing.
    """
    wanted = set(ids)
    _restore(store, index, wanted)
    _restore(store, index, index.bases_for(wanted))


def _restore(store: Shelf, index: Index, wanted: set[bytes]) -> None:
    known = index.ids(4 * len(wanted))
    missing = wanted - known if known is not None else {id for id in wanted if not index.has(id)}
    if not missing:
        return
    for pack in marked(store.condemned):
        if (store.condemned / pack.hex()).read_bytes() == _DAMAGED:
            continue
        try:
            trailer = read_trailer(store.packs / (pack.hex() + SUFFIX))
        except (BadInput, FileNotFoundError):
            continue
        if missing.isdisjoint(row.id for row in trailer.chunks):
            continue
        index.add(trailer)
        (store.condemned / pack.hex()).unlink(missing_ok=True)
        missing = {id for id in missing if not index.has(id)}
        if not missing:
            return
    some = ", ".join(id.hex()[:12] for id in list(missing)[:3])
    raise ChunkMissing(f"{len(missing)} chunks ({some} ...) vanished while this was written; import it again")
