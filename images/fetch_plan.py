"""Which byte ranges to fetch, in which order, for a list of chunks: pure decisions, no IO.

Chunks are needed in manifest order but lie in frames, frames in packs. The plan cuts the list into windows:
the frames of one window are fetched together as few large ranges (close neighbours are joined, the small
gap between them is cheaper than another request). Unpacked frames are kept in a cache of fixed size; its
whole life is decided here, so the reader in fetch.py only follows orders and its memory is bounded by
construction. With a patch come the frames of its bases, in the same window.

Python 3.8, standard library only.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from images.locator import PATCH, Locator

WINDOW = 8 << 20  # stored bytes per window; at most three are alive: used, waiting, being fetched
FIRST = 1 << 20  # of the first one, which is waited for; each is twice as large as the one before
CACHE = 36 << 20  # unpacked bytes kept
GAP = 192 << 10  # fetch and drop this much rather than ask again
STEPS = 20_000


class Range(NamedTuple):
    """Bytes to fetch: `length` from `start` of `pack` (hex id)."""

    pack: str
    start: int
    length: int


class Step(NamedTuple):
    """Hand out one chunk. First drop the frames in `evict`; with `load`, unpack `frame` from the window's
    ranges.
    """

    id: bytes
    frame: int
    inner: int
    length: int
    load: bool
    evict: tuple[int, ...]


class Window(NamedTuple):
    """What to fetch together, and the chunks to hand out of it."""

    ranges: list[Range]
    steps: list[Step]


def plan(
    ids: Iterable[bytes], locator: Locator, window: int = WINDOW, cache: int = CACHE, gap: int = GAP
) -> Iterator[Window]:
    """Windows for `ids` in order. Raises ChunkMissing at an id the locator does not know."""
    kept: OrderedDict[int, int] = OrderedDict()  # frame -> raw size, oldest use first
    held = 0
    needed: set[int] = set()
    wanted = 0  # stored bytes of the window so far
    steps: list[Step] = []
    limit = min(FIRST, window)
    for id in ids:
        number, inner, length = locator.find(id)
        load = number not in kept
        evict: list[int] = []
        if load:
            frame = locator.frame(number)
            if number not in needed:
                fetch = {number: frame.stored}
                if frame.codec == PATCH:
                    for base in locator.bases(number):
                        fetch[base.frame] = locator.frame(base.frame).stored
                more = sum(size for one, size in fetch.items() if one not in needed)
                if steps and (wanted + more > limit or len(steps) >= STEPS):
                    yield Window(ranges(needed, locator, gap), steps)
                    limit = min(window, 2 * limit)
                    needed, steps, wanted, more = set(), [], 0, sum(fetch.values())
                needed.update(fetch)
                wanted += more
            while kept and held + frame.raw > cache:
                old, size = kept.popitem(last=False)
                evict.append(old)
                held -= size
            kept[number] = frame.raw
            held += frame.raw
        else:
            kept.move_to_end(number)
        steps.append(Step(id, number, inner, length, load, tuple(evict)))
    if steps:
        yield Window(ranges(needed, locator, gap), steps)


def ranges(needed: Iterable[int], locator: Locator, gap: int) -> list[Range]:
    """The frames as ranges in disk order, neighbours within `gap` bytes joined."""
    out: list[Range] = []
    for frame in sorted(locator.frame(number) for number in needed):
        last = out[-1] if out else None
        if last and last.pack == frame.pack and frame.offset <= last.start + last.length + gap:
            end = max(last.start + last.length, frame.offset + frame.stored)
            out[-1] = last._replace(length=end - last.start)
        else:
            out.append(Range(frame.pack, frame.offset, frame.stored))
    return out
