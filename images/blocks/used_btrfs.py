"""Used blocks of a btrfs on one device: its extents (extent tree), placed by its chunks (chunk tree).

Source: btrfs-dev-docs, "On-disk format". Law: with a log tree (fsync before the last commit) extents exist
that the extent tree does not list yet; several devices do not fit one image: neither map is believed.
Python 3.8, standard library only. Pure.
"""

from __future__ import annotations

import bisect
import struct
from collections.abc import Iterator

from images.blocks.bits import Map, Read, merged
from images.errors import BadInput

_SUPER = 64 << 10
_MIRRORS = (_SUPER, 64 << 20, 256 << 30)
_RESERVED = 1 << 20  # never given to a chunk; boot loaders live here
_EXTENT_TREE = 2
_ROOT_ITEM, _EXTENT_ITEM, _METADATA_ITEM, _CHUNK_ITEM = 132, 168, 169, 228
_EXTENT_TREE_V2, _ZONED = 1 << 13, 1 << 12
_KEY = struct.Struct("<QBQ")
_DEEP = 8  # levels; no tree is deeper


def used(read: Read) -> Map | None:
    """The map, or None when this is no btrfs."""
    raw = read(_SUPER, 4096)
    if raw[64:72] != b"_BHRfS_M":
        return None
    root, chunk_root, log_root = struct.unpack_from("<3Q", raw, 80)
    size, devices = struct.unpack_from("<Q", raw, 112)[0], struct.unpack_from("<Q", raw, 136)[0]
    incompat = struct.unpack_from("<Q", raw, 188)[0]
    if devices != 1:
        return Map("btrfs", size, None, f"it spans {devices} devices")
    if log_root:
        return Map("btrfs", size, None, "it was not unmounted: its log waits to be replayed")
    if incompat & (_EXTENT_TREE_V2 | _ZONED):
        return Map("btrfs", size, None, "it is of a form this program does not know")
    trees = _Trees(read, struct.unpack_from("<I", raw, 148)[0])
    trees.add_system_chunks(raw[811 : 811 + struct.unpack_from("<I", raw, 160)[0]])
    trees.add_chunks(chunk_root, raw[199])
    ranges = [(0, _RESERVED), *((place, 4096) for place in _MIRRORS)]
    ranges.extend(trees.extents(root, raw[198]))
    return Map("btrfs", size, merged(ranges, size))


def span(read: Read) -> int:
    """The bytes of this device that a btrfs says it has; 0: it is none."""
    raw = read(_SUPER, 4096)
    return int(struct.unpack_from("<Q", raw, 209)[0]) if raw[64:72] == b"_BHRfS_M" else 0


class _Trees:
    def __init__(self, read: Read, node: int) -> None:
        self._read = read
        self._node = node
        self._chunks: dict[int, tuple[int, tuple[int, ...]]] = {}  # logical -> length, places on the device
        self._starts: list[int] = []

    def add_system_chunks(self, raw: bytes) -> None:
        """The chunks that hold the chunk tree, listed in the superblock."""
        at = 0
        while at + 17 < len(raw):
            logical = _KEY.unpack_from(raw, at)[2]
            at += 17 + self._add(logical, raw[at + 17 :])
        self._starts = sorted(self._chunks)

    def add_chunks(self, root: int, level: int) -> None:
        """All chunks."""
        for key, raw in self._items(root, level):
            if key[1] == _CHUNK_ITEM:
                self._add(key[2], raw)
        self._starts = sorted(self._chunks)

    def _add(self, logical: int, raw: bytes) -> int:
        length, stripes = struct.unpack_from("<Q", raw)[0], int(struct.unpack_from("<H", raw, 44)[0])
        places = [struct.unpack_from("<Q", raw, 56 + 32 * number)[0] for number in range(stripes)]
        self._chunks[logical] = (length, tuple(places))
        return 48 + 32 * stripes

    def extents(self, root: int, level: int) -> Iterator[tuple[int, int]]:
        """(offset, length) on the device of every extent, every copy of it."""
        for key, raw in self._items(root, level):
            if key[0] == _EXTENT_TREE and key[1] == _ROOT_ITEM:
                root, level = struct.unpack_from("<Q", raw, 176)[0], raw[238]
                break
        else:
            raise BadInput("btrfs: there is no extent tree")
        for key, _ in self._items(root, level):
            if key[1] in (_EXTENT_ITEM, _METADATA_ITEM):
                length = key[2] if key[1] == _EXTENT_ITEM else self._node
                yield from ((place, length) for place in self._places(key[0]))

    def _places(self, logical: int) -> list[int]:
        number = bisect.bisect_right(self._starts, logical) - 1
        start = self._starts[number] if number >= 0 else logical + 1
        length, places = self._chunks.get(start, (0, ()))
        if not start <= logical < start + length:
            raise BadInput("btrfs: an address lies in no chunk")
        return [place + logical - start for place in places]

    def _items(self, logical: int, level: int) -> Iterator[tuple[tuple[int, int, int], bytes]]:
        """((object, type, offset), data) of every item below a node, in order."""
        raw = self._read(self._places(logical)[0], self._node)
        count = struct.unpack_from("<I", raw, 96)[0]
        if struct.unpack_from("<Q", raw, 48)[0] != logical or raw[100] != level or level > _DEEP:
            raise BadInput("btrfs: a tree is damaged")
        if level:
            for number in range(count):
                yield from self._items(struct.unpack_from("<Q", raw, 101 + 33 * number + 17)[0], level - 1)
            return
        for number in range(count):
            at = 101 + 25 * number
            offset, size = struct.unpack_from("<II", raw, at + 17)
            yield _KEY.unpack_from(raw, at), raw[101 + offset : 101 + offset + size]
