"""Build a version's locator (locator.py has the form) from the index: done at publish and after gc moved
chunks.
"""

from __future__ import annotations

from collections.abc import Iterable

from images.compress import zstd_frame
from images.errors import ChunkMissing
from images.index import Index, Spot
from images.locator import HEAD, MAGIC, U8, U32, U64, column

_NONE: Spot = (b"", 0, 0, 0, 0)


def build(manifest: str, ids: Iterable[bytes], index: Index) -> tuple[bytes, int]:
    """(locator, stored bytes) for the manifest with that hex id and its chunk ids (repeats are fine).

    Stored bytes are each chunk's share of its frames. Raises ChunkMissing when a pack is gone.
    """
    wanted = sorted(set(ids))
    packs: dict[bytes, int] = {}
    frames: dict[tuple[int, int], int] = {}
    table: list[tuple[int, int, int, int, int]] = []
    numbers: list[int] = []
    inners: list[int] = []
    lengths: list[int] = []
    ratio: list[float] = []  # stored bytes per byte, of each frame
    share = 0.0
    spots = index.spots(wanted)
    for id in wanted:
        own, pack, frame, inner, length = next(spots, _NONE)
        if own != id:
            raise _missing(id)
        number = frames.get((pack, frame))
        if number is None:
            found = index.frame(pack, frame)
            if found is None:
                raise _missing(id)
            number = frames[pack, frame] = len(table)
            name, row = found
            table.append((packs.setdefault(name, len(packs)), row.offset, row.stored, row.raw, row.codec))
            ratio.append(row.stored / max(row.raw, 1))
        numbers.append(number)
        inners.append(inner)
        lengths.append(length)
        share += length * ratio[number]
    body = b"".join(packs)
    for number, kind in enumerate((U32, U64, U32, U32, U8)):
        body += column(kind, [row[number] for row in table])
    body += b"".join(wanted)
    for values in (numbers, inners, lengths):
        body += column(U32, values)
    head = HEAD.pack(MAGIC, bytes.fromhex(manifest), len(packs), len(table), len(wanted), len(body))
    return head + zstd_frame(body, level=9), round(share)


def _missing(id: bytes) -> ChunkMissing:
    return ChunkMissing(f"chunk {id.hex()} is in no pack; run `bootsrv image verify`")
