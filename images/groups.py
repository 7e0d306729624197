"""Which new chunks become one patch, and what of the old files comes before them: pure decisions.

A group is a frame's worth of new chunks of one file or of several neighbours, with a base of bounded size:
so that reading one chunk never costs more than that. Of an old file that is small all is the base; of a
large one what lies around the same place, where the same place is told by the chunks that both files share.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Container, Iterable, Iterator
from typing import NamedTuple, Protocol

from images.manifest import Chunk

FRAME = 512 << 10  # bytes of new chunks
BASE = 2 << 20  # bytes before them
SMALL = 512 << 10  # an old file up to here is a base as a whole
AROUND = 64 << 10  # bytes of a larger one before and behind the same place


class Group(NamedTuple):
    """Chunks that become one patch, and the chunks it starts from."""

    chunks: list[Chunk]
    bases: list[Chunk]


class File(Protocol):
    """What of a file counts here."""

    @property
    def size(self) -> int: ...
    @property
    def chunks(self) -> tuple[Chunk, ...]: ...


def grouped(
    pairs: Iterable[tuple[File, File]], fresh: Container[bytes], plain: Callable[[Chunk], tuple[Chunk, ...]]
) -> Iterator[Group]:
    """Groups for (old, new) files in order. Only chunks in `fresh` are taken, each once; `plain` tells what
    can stand in the base for an old chunk.
    """
    taken: set[bytes] = set()
    growing = _Growing()
    for old, new in pairs:
        for chunk, before in _places(old, new, fresh):
            if chunk.id in taken:
                continue
            bases = dict.fromkeys(one for each in before for one in plain(each))
            if not bases or sum(one.length for one in bases) > BASE:
                continue
            taken.add(chunk.id)
            if not growing.fits(chunk, bases):
                yield growing.done()
                growing = _Growing()
            growing.add(chunk, bases)
    if growing.chunks:
        yield growing.done()


class _Growing:
    """A group so far."""

    def __init__(self) -> None:
        self.chunks: list[Chunk] = []
        self._bases: dict[Chunk, None] = {}
        self._size = self._base = 0

    def fits(self, chunk: Chunk, bases: Iterable[Chunk]) -> bool:
        """Whether it may have this as well."""
        more = sum(one.length for one in bases if one not in self._bases)
        return not self.chunks or (self._size + chunk.length <= FRAME and self._base + more <= BASE)

    def add(self, chunk: Chunk, bases: Iterable[Chunk]) -> None:
        """Have it."""
        self.chunks.append(chunk)
        self._size += chunk.length
        for one in bases:
            if one not in self._bases:
                self._bases[one] = None
                self._base += one.length

    def done(self) -> Group:
        """What it has become."""
        return Group(self.chunks, list(self._bases))


def _places(old: File, new: File, fresh: Container[bytes]) -> Iterator[tuple[Chunk, tuple[Chunk, ...]]]:
    """Each fresh chunk of the new file with what of the old one may be like it."""
    if old.size <= SMALL:
        yield from ((chunk, old.chunks) for chunk in new.chunks if chunk.id in fresh)
        return
    ends, place = [], 0
    for chunk in old.chunks:
        place += chunk.length
        ends.append(place)
    at = {chunk.id: end - chunk.length for chunk, end in zip(old.chunks, ends, strict=True)}
    place = shift = 0
    for chunk in new.chunks:
        if chunk.id in at:
            shift = at[chunk.id] - place
        if chunk.id in fresh:
            low, high = place + shift - AROUND, place + shift + chunk.length + AROUND
            yield chunk, old.chunks[bisect_right(ends, low) : bisect_left(ends, high) + 1]
        place += chunk.length
