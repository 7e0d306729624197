"""Where each chunk of one version lies in the packs: what a node needs beside the manifest to fetch it.

Form: magic, manifest id, counts, then one zstd frame of columns (little-endian): pack ids; per frame its
pack, offset, stored length, raw length, codec; the sorted chunk ids; per chunk its frame, offset inside,
length. Where frames are patches (pack.py), the form is the second one, with a count and four columns more:
per base the frame that is a patch of it, then where the base lies: frame, offset inside, length. Columns stay
as arrays in memory and ids are found by bisection: a version of 200,000 chunks costs 12 MB, not 100.

Law: a locator is never trusted. It only says where to look; what is found there is hashed (fetch.py). No base
lies in a patch, so that a chunk takes two steps at most. Bases are no chunks of the version: those are
numbered by their ids alone.
Python 3.8, standard library only.
"""

from __future__ import annotations

import struct
import sys
from array import array
from bisect import bisect_left, bisect_right
from typing import NamedTuple

from images.errors import BadInput, ChunkMissing
from images.zstd import decompress

MAGIC, WITH_BASES = b"BSLOCAT1", b"BSLOCAT2"
HEAD = struct.Struct("<8s32sIIIQ")  # magic, manifest id, packs, frames, chunks, length of the columns
BASES = struct.Struct("<I")  # of the second form: how many bases
RAW, ZSTD, PATCH = 0, 1, 2  # codecs of a frame; PATCH: zstd with its bases' bytes before it
_LIMIT = 1 << 30
U8, U32, U64 = "B", "I", "Q"


class Frame(NamedTuple):
    """One compressed frame: `stored` bytes at `offset` of pack `pack` become `raw` bytes by `codec`."""

    pack: str
    offset: int
    stored: int
    raw: int
    codec: int


class Place(NamedTuple):
    """One chunk: `length` bytes at `inner` of the unpacked frame with number `frame`."""

    frame: int
    inner: int
    length: int


def column(kind: str, values: list[int]) -> bytes:
    """Numbers as one little-endian column."""
    made = array(kind, values)
    if sys.byteorder == "big":
        made.byteswap()
    return made.tobytes()


class Locator:
    """A parsed locator. Lookups take microseconds and make no copies of the whole."""

    def __init__(
        self, manifest: str, packs: list[str], frames: list[array[int]], ids: bytes, places: list[array[int]],
        bases: list[array[int]],
    ) -> None:  # fmt: skip
        self.manifest = manifest
        self.packs = packs
        self._frames = frames
        self._ids = ids
        self._places = places
        self._bases = bases

    def __len__(self) -> int:
        return len(self._ids) // 32

    def ids(self) -> set[bytes]:
        """The chunks of the version."""
        return {self._ids[at : at + 32] for at in range(0, len(self._ids), 32)}

    @property
    def frames(self) -> int:
        """How many frames the version's chunks lie in."""
        return len(self._frames[0])

    def frame(self, number: int) -> Frame:
        """The frame with that number."""
        pack, offset, stored, raw, codec = (values[number] for values in self._frames)
        return Frame(self.packs[pack], offset, stored, raw, codec)

    @property
    def patched(self) -> bool:
        """Whether some of it is patches."""
        return bool(self._bases[0])

    def bases(self, number: int) -> list[Place]:
        """What comes before the frame with that number when it is unpacked, in order; none unless it is a
        patch.
        """
        owners, *places = self._bases
        return [
            Place(*(values[row] for values in places))
            for row in range(bisect_left(owners, number), bisect_right(owners, number))
        ]

    def find(self, id: bytes) -> Place:
        """Where the chunk lies. Raises ChunkMissing when this version has no such chunk."""
        low, high = 0, len(self)
        while low < high:
            middle = (low + high) // 2
            if self._ids[middle * 32 : middle * 32 + 32] < id:
                low = middle + 1
            else:
                high = middle
        if self._ids[low * 32 : low * 32 + 32] != id:
            text = f"chunk {id.hex()[:12]} is not in the locator of {self.manifest[:12]}"
            raise ChunkMissing(text, id)
        return self.place(low)

    def place(self, number: int) -> Place:
        """Where the chunk with that number lies; chunks are numbered by their sorted ids."""
        frame, inner, length = (values[number] for values in self._places)
        return Place(frame, inner, length)

    def id(self, number: int) -> bytes:
        """The id of the chunk with that number."""
        return self._ids[number * 32 : number * 32 + 32]

    @classmethod
    def parse(cls, data: bytes) -> Locator:
        """Bytes to a Locator. Raises BadInput when they are none or damaged."""
        if len(data) < HEAD.size:
            raise BadInput("locator: cut off")
        magic, manifest, packs, frames, chunks, size = HEAD.unpack_from(data)
        start, bases = HEAD.size, 0
        if magic == WITH_BASES and len(data) >= HEAD.size + BASES.size:
            (bases,) = BASES.unpack_from(data, HEAD.size)
            start += BASES.size
        elif magic != MAGIC:
            raise BadInput("locator: not one")
        if size != packs * 32 + frames * 21 + chunks * 44 + bases * 16 or size > _LIMIT:
            raise BadInput("locator: its counts do not match its size")
        counts = (packs, frames, chunks, bases)
        return cls._columns(manifest.hex(), counts, decompress(data[start:], size))

    @classmethod
    def _columns(cls, manifest: str, counts: tuple[int, int, int, int], body: bytes) -> Locator:
        packs, frames, chunks, bases = counts
        place = 0

        def take(kind: str, count: int) -> array[int]:
            nonlocal place
            values: array[int] = array(kind)
            end = place + count * values.itemsize
            values.frombytes(body[place:end])
            place = end
            if sys.byteorder == "big":
                values.byteswap()
            return values

        names = [body[at : at + 32].hex() for at in range(0, packs * 32, 32)]
        place = packs * 32
        table = [take(kind, frames) for kind in (U32, U64, U32, U32, U8)]
        ids = body[place : place + chunks * 32]
        place += chunks * 32
        places = [take(U32, chunks) for _ in range(3)]
        rows = [take(U32, bases) for _ in range(4)]
        if any(number >= packs for number in table[0]) or any(number >= frames for number in places[0]):
            raise BadInput("locator: points outside itself")
        _check_bases(rows, table[4])
        return cls(manifest, names, table, ids, places, rows)


def _check_bases(rows: list[array[int]], codecs: array[int]) -> None:
    """Each patch has bases, nothing else has, and no base is in a patch."""
    owners, frames = rows[0], rows[1]
    if any(number >= len(codecs) for number in (*owners, *frames)) or list(owners) != sorted(owners):
        raise BadInput("locator: points outside itself")
    patches = {number for number, codec in enumerate(codecs) if codec == PATCH}
    if patches != set(owners) or not patches.isdisjoint(frames):
        raise BadInput("locator: its patches do not fit their bases")
