"""Groups of new chunks become patches: read, unpacked, checked and compressed in threads, a run of neighbours
each, since these share frames.

Law: every byte that goes into a patch was checked by its chunk's hash, and what comes out of it again is
compared with what went in: it takes the place of what is durable already. Where the old bytes cannot be read,
the groups from there on are left as they are.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

from images.compress import compress_after
from images.errors import ImageError
from images.fetch import GetRange, PackSource
from images.groups import Group
from images.locator import Locator
from images.packstream import Member
from images.zstd import decompress_after

RUN, MOST = 16, 8  # groups in one; workers, each of which takes up to 20 MB
WINDOW, CACHE = 1 << 20, 6 << 20  # bytes of packs at once, and of unpacked frames: they are on our own disk


class Patch(NamedTuple):
    """A frame to store: `raw` bytes of `members` as a patch of the chunks `bases`."""

    stored: bytes
    raw: int
    members: list[Member]
    bases: tuple[bytes, ...]


def patches(
    groups: Sequence[Group], locator: Locator, read: GetRange, most: Callable[[Group], int]
) -> Generator[Patch, None, None]:
    """Those that take at most `most` bytes, in order. `locator` knows all chunks of the groups.

    Raises ImageError (a new chunk cannot be read), OSError.
    """
    workers = min(MOST, max(2, os.cpu_count() or 2))

    def work(run: Sequence[Group]) -> tuple[list[Patch], bool]:
        return _run(run, locator, read, most)

    with ThreadPoolExecutor(workers, thread_name_prefix="patch") as pool:
        waiting: deque[Future[tuple[list[Patch], bool]]] = deque()
        try:
            for start in range(0, len(groups), RUN):
                waiting.append(pool.submit(work, groups[start : start + RUN]))
                if len(waiting) > workers:
                    made, whole = waiting.popleft().result()
                    yield from made
                    if not whole:
                        return
            while waiting:
                made, whole = waiting.popleft().result()
                yield from made
                if not whole:
                    return
        finally:
            for job in waiting:
                job.cancel()


def _run(
    groups: Sequence[Group], locator: Locator, read: GetRange, most: Callable[[Group], int]
) -> tuple[list[Patch], bool]:
    """The patches, and whether all old bytes could be read."""
    olds = PackSource(locator, read, 0, WINDOW, CACHE).stream(c.id for g in groups for c in g.bases)
    news = PackSource(locator, read, 0, WINDOW, CACHE).stream(c.id for g in groups for c in g.chunks)
    made: list[Patch] = []
    for group in groups:
        try:
            before = b"".join([next(olds) for _ in group.bases])
        except ImageError:
            return made, False
        data = b"".join([next(news) for _ in group.chunks])
        stored = compress_after(before, data)
        if len(stored) <= most(group) and decompress_after(stored, len(data), before) == data:
            made.append(Patch(stored, len(data), _members(group), tuple(c.id for c in group.bases)))
    return made, True


def _members(group: Group) -> list[Member]:
    place, members = 0, []
    for chunk in group.chunks:
        members.append((chunk.id, place, chunk.length))
        place += chunk.length
    return members
