"""Copies what is wanted of a pack into new ones, for those who tidy: gc, repair, a session that patches.

Law: only what was checked is copied, chunk by chunk by its hash. A frame that is wanted as a whole stays as
it is (its own sum is enough for who wrote it just now); so does a patch, whose other chunks come along,
unless it is to be made plain. A patch that is whole
but for what it starts from is copied too: that may come back.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator
from collections.abc import Set as AbstractSet
from typing import NamedTuple

from images.bases import Bases
from images.errors import BadInput, ChunkCorrupt, ChunkMissing
from images.fetch import unpack
from images.index import Index
from images.locator import PATCH, Frame
from images.pack import SUFFIX, FrameRow, Trailer, read_frames, read_trailer
from images.packstream import Member, PackStream
from images.shelf import Shelf


class Opened(NamedTuple):
    """A frame of a pack: as it is stored, unpacked (empty where it is damaged, or a base of it is), and which
    of its members are whole.
    """

    number: int
    row: FrameRow
    stored: bytes
    raw: bytes
    members: list[Member]
    whole: set[bytes]
    lost: bool = False  # what it is a patch of cannot be read


def rewrite(
    store: Shelf, index: Index, pack: bytes, wanted: Collection[bytes], plain: bool = False,
    ours: bool = False,
) -> None:  # fmt: skip
    """Copy those chunks of a pack that the index takes from it into new packs, and point the index there.
    `plain`: patches are resolved; `ours`: the caller wrote the pack itself.
    """
    trailer = read_trailer(store.packs / (pack.hex() + SUFFIX))
    mine = {id for id, _ in index.chunks_of(pack) if id in wanted}
    stream = PackStream(store.packs, store.temp)
    try:
        for frame in opened(store, index, pack, trailer, mine, mine if ours else set()):
            _copy(stream, frame, trailer.bases.get(frame.number, ()), mine, plain)
        stream.flush()
    finally:
        stream.close()
    for new in stream.finished:
        index.add(new, replace=True)


def _copy(stream: PackStream, frame: Opened, bases: tuple[bytes, ...], mine: set[bytes], plain: bool) -> None:
    ids = {id for id, _, _ in frame.members}
    if frame.lost and ids & mine:
        stream.copy(frame.row.codec, frame.stored, frame.row.raw, frame.members, bases)
        return
    good = frame.whole & mine
    if not good:
        return
    patch = frame.row.codec == PATCH and not plain
    if frame.whole == ids and (patch or (ids <= mine and not bases)):
        stream.copy(frame.row.codec, frame.stored, frame.row.raw, frame.members, bases)
        return
    for id, inner, length in frame.members:
        if id in good:
            stream.add(id, frame.raw[inner : inner + length])


def opened(
    store: Shelf, index: Index, pack: bytes, trailer: Trailer, only: Collection[bytes] | None = None,
    as_is: AbstractSet[bytes] = frozenset(),
) -> Iterator[Opened]:  # fmt: skip
    """Every frame of the pack in order, checked; or every one that holds one of `only`. One that holds
    nothing but `as_is` is not unpacked. Raises OSError.
    """
    by_frame: dict[int, list[Member]] = {}
    for each in trailer.chunks:
        by_frame.setdefault(each.frame, []).append((each.id, each.inner, each.length))
    bases = Bases(store, index)
    for number, stored in read_frames(store.packs / (pack.hex() + SUFFIX), trailer):
        row, members = trailer.frames[number], by_frame.get(number, [])
        if only is not None and not any(id in only for id, _, _ in members):
            continue
        raw, lost, whole = b"", False, set[bytes]()
        if hashlib.sha256(stored).digest() == row.digest:
            ids = {id for id, _, _ in members}
            if ids <= as_is:
                yield Opened(number, row, stored, b"", members, ids)
                continue
            try:
                before = bases.join(trailer.bases.get(number, ()))
                raw = unpack(Frame(pack.hex(), *row[:4]), stored, before)
            except (ChunkMissing, ChunkCorrupt):
                lost = True
            except BadInput:
                raw = b""
        for id, inner, length in members:
            if hashlib.sha256(raw[inner : inner + length]).digest() == id:
                whole.add(id)
        yield Opened(number, row, stored, raw, members, whole, lost)
