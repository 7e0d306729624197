"""Which old file a new one most likely comes from: the same path, else the same path but for version numbers.

A new kernel brings thousands of modules at new paths that hardly differ from the old ones at theirs. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from images.manifest import Entry

LARGEST = 96 << 20  # bytes of either file: a node holds a window of it while it applies a patch
_DIGEST = 32
_VERSION = re.compile(rb"\d+([.+~_:-]\d+)*")


class File(NamedTuple):
    """What is remembered of an entry, as little as possible: a version may have a million. `ids`: those of
    its chunks, one after the other.
    """

    path: bytes
    size: int
    ids: bytes

    def chunks(self) -> Iterator[bytes]:
        """Their ids."""
        for at in range(0, len(self.ids), _DIGEST):
            yield self.ids[at : at + _DIGEST]


Pair = tuple[File | None, File]  # old, new


def pairs(old: Iterable[Entry], new: Iterable[Entry]) -> tuple[list[Pair], set[bytes]]:
    """For each new file with chunks that the old version has not: where to patch it from, if anywhere. In the
    order of `new`; and the chunks that the old version has.
    """
    files, chunks = _known(old)
    later: list[File] = []
    seen: set[bytes] = set()
    for entry in new:
        if entry.path in files:
            seen.add(entry.path)
        if _fits(entry) and any(chunk.id not in chunks for chunk in entry.chunks):
            later.append(_slim(entry))
    wanted = {shape(one.path) for one in later if one.path not in files}
    moved = _by_shape((one for path, one in files.items() if path not in seen), wanted)
    return [(files.get(one.path) or _nearest(one, moved), one) for one in later], chunks


def shape(path: bytes) -> bytes:
    """The path with every version number taken out."""
    return _VERSION.sub(b"#", path)


def _known(old: Iterable[Entry]) -> tuple[dict[bytes, File], set[bytes]]:
    files: dict[bytes, File] = {}
    chunks: set[bytes] = set()
    for entry in old:
        chunks.update(chunk.id for chunk in entry.chunks)
        if _fits(entry):
            files[entry.path] = _slim(entry)
    return files, chunks


def _fits(entry: Entry) -> bool:
    return entry.type == "file" and entry.extents is None and 0 < entry.size <= LARGEST


def _slim(entry: Entry) -> File:
    return File(entry.path, entry.size, b"".join(chunk.id for chunk in entry.chunks))


def _by_shape(files: Iterable[File], wanted: set[bytes]) -> dict[bytes, list[File]]:
    found: dict[bytes, list[File]] = {}
    for one in files:
        form = shape(one.path)
        if form in wanted:
            found.setdefault(form, []).append(one)
    return found


def _nearest(file: File, moved: Mapping[bytes, list[File]]) -> File | None:
    """Of several with the same shape, the one whose size is closest."""
    candidates = moved.get(shape(file.path), ())
    return min(candidates, key=lambda one: abs(one.size - file.size), default=None)
