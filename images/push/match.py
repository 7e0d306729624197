"""Which old file a new one most likely comes from: the same path, else the same path but for version numbers.

A new kernel brings thousands of modules at new paths that hardly differ from the old ones at theirs. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from images.manifest import Entry

LARGEST = 96 << 20  # bytes of either file: a node holds the old one while it applies a patch
_VERSION = re.compile(rb"\d+([.+~_:-]\d+)*")
Pair = tuple[Entry | None, Entry]  # old, new


def pairs(old: Iterable[Entry], new: Iterable[Entry]) -> Iterator[Pair]:
    """For each new file with chunks that the old version has not: where to patch it from, if anywhere. In the
    order of `new`.
    """
    files = {entry.path: entry for entry in old if _fits(entry)}
    chunks = {chunk.id for entry in files.values() for chunk in entry.chunks}
    later: list[Entry] = []
    seen: set[bytes] = set()
    for entry in new:
        seen.add(entry.path)
        if _fits(entry) and any(chunk.id not in chunks for chunk in entry.chunks):
            later.append(entry)
    moved = _by_shape(entry for path, entry in files.items() if path not in seen)
    for entry in later:
        yield files.get(entry.path) or _nearest(entry, moved), entry


def shape(path: bytes) -> bytes:
    """The path with every version number taken out."""
    return _VERSION.sub(b"#", path)


def _fits(entry: Entry) -> bool:
    return entry.type == "file" and entry.extents is None and 0 < entry.size <= LARGEST


def _by_shape(entries: Iterable[Entry]) -> dict[bytes, list[Entry]]:
    found: dict[bytes, list[Entry]] = {}
    for entry in entries:
        found.setdefault(shape(entry.path), []).append(entry)
    return found


def _nearest(entry: Entry, moved: Mapping[bytes, list[Entry]]) -> Entry | None:
    """Of several with the same shape, the one whose size is closest."""
    candidates = moved.get(shape(entry.path), ())
    return min(candidates, key=lambda one: abs(one.size - entry.size), default=None)
