"""Runs of set bits, and lists of byte ranges: what every file system's map comes down to.

Python 3.8, standard library only. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Callable, NamedTuple  # noqa: UP035 - Python 3.8 has no subscript for the other one

Read = Callable[[int, int], bytes]  # (offset, length) to exactly so many bytes; raises BadInput at the end
_STEP = 4096  # bytes of a bitmap taken at once: big numbers get slow


class Map(NamedTuple):
    """What a file system says of itself: its name, the bytes it spans, the (offset, length) it uses.

    `ranges` None: its map cannot be believed now, `why` says so; then every block that is not zero counts.
    """

    fs: str
    size: int
    ranges: list[tuple[int, int]] | None
    why: str = ""


def runs(bitmap: bytes, count: int) -> Iterator[tuple[int, int]]:
    """(first, how many) of each run of ones among the first `count` bits, lowest bit of a byte first."""
    begin, end = -1, -1
    for place in range(0, -(-count // 8), _STEP):
        piece = bitmap[place : place + _STEP]
        base, bits = place * 8, int.from_bytes(piece, "little")
        bits &= (1 << min(count - base, len(piece) * 8)) - 1
        while bits:
            zeros = (bits & -bits).bit_length() - 1
            bits >>= zeros
            ones = (~bits & (bits + 1)).bit_length() - 1
            bits >>= ones
            first = base + zeros
            base = first + ones
            if first == end:
                end = base
                continue
            if begin >= 0:
                yield begin, end - begin
            begin, end = first, base
    if begin >= 0:
        yield begin, end - begin


def merged(ranges: Iterable[tuple[int, int]], size: int, gap: int = 0) -> list[tuple[int, int]]:
    """Sorted, clipped to `size`, overlaps and gaps up to `gap` bytes joined."""
    out: list[tuple[int, int]] = []
    for offset, length in sorted(ranges):
        end = min(offset + length, size)
        if end <= offset:
            continue
        if out and offset <= out[-1][0] + out[-1][1] + gap:
            first, held = out[-1]
            out[-1] = (first, max(first + held, end) - first)
        else:
            out.append((offset, end - offset))
    return out


def complement(ranges: Iterable[tuple[int, int]], size: int) -> list[tuple[int, int]]:
    """What sorted, merged `ranges` leave of [0, size)."""
    out: list[tuple[int, int]] = []
    place = 0
    for offset, length in ranges:
        if offset > place:
            out.append((place, offset - place))
        place = max(place, offset + length)
    if place < size:
        out.append((place, size - place))
    return out
