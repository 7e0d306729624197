"""Build a version's locator (locator.py has the form) from the index: done at publish and after gc moved
chunks.
"""

from __future__ import annotations

from collections.abc import Iterable

from images.compress import zstd_frame
from images.errors import ChunkMissing
from images.index import Index, Spot
from images.locator import BASES, HEAD, MAGIC, PATCH, U8, U32, U64, WITH_BASES, column

_NONE: Spot = (b"", 0, 0, 0, 0)


def build(manifest: str, ids: Iterable[bytes], index: Index) -> tuple[bytes, int]:
    """(locator, stored bytes) for the manifest with that hex id and its chunk ids (repeats are fine).

    Stored bytes are each chunk's share of its frames. Raises ChunkMissing when a pack is gone; it knows the
    chunk, which is one of `ids`.
    """
    made = _Builder(index)
    wanted = sorted(set(ids))
    spots, numbers, share = index.spots(wanted), made.numbers, 0.0
    frames: list[int] = []
    inners: list[int] = []
    lengths: list[int] = []
    for id in wanted:
        own, pack, frame, inner, length = next(spots, _NONE)
        if own != id:
            raise _missing(id)
        number = numbers.get((pack, frame))
        if number is None:
            number = made.frame(id, pack, frame)
        frames.append(number)
        inners.append(inner)
        lengths.append(length)
        share += length * made.ratio[number]
    bases = made.bases()  # which may add frames
    places = (frames, inners, lengths)
    return written(manifest, list(made.packs), made.table, wanted, places, bases), round(share)


def written(
    manifest: str, packs: list[bytes], table: list[tuple[int, int, int, int, int]], ids: list[bytes],
    places: tuple[list[int], list[int], list[int]], bases: list[tuple[int, int, int, int]],
) -> bytes:  # fmt: skip
    """The columns as a locator: raw ids of packs; per frame (pack, offset, stored, raw, codec); sorted chunk
    ids; of the chunks their frames, offsets inside, lengths; per base (frame, its frame, offset inside,
    length).
    """
    body = b"".join(packs)
    for number, kind in enumerate((U32, U64, U32, U32, U8)):
        body += column(kind, [row[number] for row in table])
    body += b"".join(ids)
    for values in places:
        body += column(U32, values)
    for number in range(4):
        body += column(U32, [row[number] for row in bases])
    counts = (len(packs), len(table), len(ids), len(body))
    head = HEAD.pack(WITH_BASES if bases else MAGIC, bytes.fromhex(manifest), *counts)
    head += BASES.pack(len(bases)) if bases else b""
    return head + zstd_frame(body, level=9)


class _Builder:
    """The tables as they grow."""

    def __init__(self, index: Index) -> None:
        self._index = index
        self.packs: dict[bytes, int] = {}
        self.table: list[tuple[int, int, int, int, int]] = []
        self.numbers: dict[tuple[int, int], int] = {}  # of frames, by pack and frame in the index
        self.first: list[bytes] = []  # of frames, a chunk in each
        self.ratio: list[float] = []  # stored bytes per byte, of each frame

    def frame(self, id: bytes, pack: int, frame: int) -> int:
        """The number of a frame, in which that chunk lies. Raises ChunkMissing."""
        number = self.numbers.get((pack, frame))
        if number is None:
            found = self._index.frame(pack, frame)
            if found is None:
                raise _missing(id)
            number = self.numbers[pack, frame] = len(self.table)
            self.first.append(id)
            name, row = found
            at = self.packs.setdefault(name, len(self.packs))
            self.table.append((at, row.offset, row.stored, row.raw, row.codec))
            self.ratio.append(row.stored / max(row.raw, 1))
        return number

    def bases(self) -> list[tuple[int, int, int, int]]:
        """(frame, frame of the base, offset in it, length) of every base of every patch so far."""
        owners = sorted(
            (number, self._index.bases(*where))
            for where, number in self.numbers.items()
            if self.table[number][4] == PATCH
        )
        spots = {spot[0]: spot for spot in self._index.spots(sorted({id for _, ids in owners for id in ids}))}
        rows = []
        for number, ids in owners:
            for id in ids:
                if id not in spots:
                    raise _missing(self.first[number])
                _, pack, frame, inner, length = spots[id]
                base = self.frame(id, pack, frame)
                if self.table[base][4] == PATCH:
                    raise ChunkMissing("the base of a patch is a patch itself; run `bootsrv image verify`")
                rows.append((number, base, inner, length))
        return rows


def _missing(id: bytes) -> ChunkMissing:
    return ChunkMissing(f"chunk {id.hex()} is in no pack; run `bootsrv image verify`", id)
