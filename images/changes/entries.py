"""Two manifests side by side: which names were added, removed or changed, and in what. Pure.

Both come in manifest order, so one pass and constant memory are enough. A hard link differs when it points to
another name; what its file holds is told at that file's first name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from images.manifest import Entry, order

ADDED, REMOVED, CHANGED = "added", "removed", "changed"
TIME = "time"
HOLES = "holes"
Same = Callable[[Entry, Entry], bool]  # whether two files differ in nothing but their holes


class Change(NamedTuple):
    """One name. `aspects` of a change: type, hard link, content, holes (the same bytes, but zeros that the
    other leaves out), owner, mode, xattrs, target, device, time.
    `size`: bytes of data it has now. (Not the entries: all of a million names may differ.)
    """

    path: bytes
    kind: str
    size: int = 0
    aspects: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The path for a person."""
        return Entry(self.path, "file").name


def changes(
    old: Iterable[Entry], new: Iterable[Entry], same: Same = lambda old, new: False
) -> Iterator[Change]:
    """Every name that is not the same in both, in manifest order. `same` is asked of files whose data lies
    differently.
    """
    left, right = iter(old), iter(new)
    one, other = next(left, None), next(right, None)
    while one is not None or other is not None:
        if other is None or (one is not None and order(one.path) < order(other.path)):
            assert one is not None
            yield Change(one.path, REMOVED)
            one = next(left, None)
        elif one is None or order(other.path) < order(one.path):
            yield Change(other.path, ADDED, _size(other))
            other = next(right, None)
        else:
            aspects = tuple(_aspects(one, other, same)) if one != other else ()
            if aspects:
                yield Change(other.path, CHANGED, _size(other), aspects)
            one, other = next(left, None), next(right, None)


def _size(entry: Entry) -> int:
    return sum(chunk.length for chunk in entry.chunks)


def _aspects(old: Entry, new: Entry, same: Same) -> Iterator[str]:
    if old.type != new.type:  # a file whose first name went is written down at its next one: still that file
        yield "hard link" if {old.type, new.type} == {"file", "hardlink"} else "type"
        return
    if (old.chunks, old.size, old.extents) != (new.chunks, new.size, new.extents):
        yield HOLES if same(old, new) else "content"
    if (old.uid, old.gid) != (new.uid, new.gid):
        yield "owner"
    if old.mode != new.mode:
        yield "mode"
    if dict(old.xattrs) != dict(new.xattrs):
        yield "xattrs"
    if old.target != new.target:
        yield "target"
    if old.rdev != new.rdev:
        yield "device"
    if old.mtime_ns != new.mtime_ns:
        yield TIME
