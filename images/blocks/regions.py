"""How a disk lies in a manifest: files of one directory, each a region of 1 GiB named by its offset.

The regions are sparse files like any others, so chunks, packs, locators and checks need not know about disks.
What is no data is a hole. Inside `free` stretches of the description (file systems whose map was believed) a
hole may be left as it is on the target; everywhere else it stands for zeros.

    meta["disk"] = {"size", "sector", "physical", "table", "partitions": [...], "free": [[start, end], ...]}

and "missing": bytes behind the end that the table or a file system says should be there, if any.

Python 3.8, standard library only. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from images.errors import BadInput
from images.manifest import Entry, Header

KIND = "disk"
REGION = 1 << 30
ROOT = Entry(b"", "dir", mode=0o700)
_NAME = re.compile(rb"[0-9a-f]{16}\Z")


def region(offset: int, size: int, ranges: Iterable[tuple[int, int]]) -> Entry:
    """The entry of a region: `size` bytes from `offset`, of which `ranges` (from the disk's start) are
    data. Its chunks are for the caller to add.
    """
    extents = tuple((place - offset, length) for place, length in ranges)
    whole = extents == ((0, size),)
    return Entry(b"%016x" % offset, "file", mode=0o600, size=size, extents=None if whole else extents)


def doubts(shape: Mapping[str, Any]) -> list[str]:
    """What a person should know: of a disk that was cut off, of partitions whose map was not believed."""
    cut = [cut_off(shape)] if "missing" in shape else []
    return cut + [
        f"partition {row['number']} ({row['fs']}): {row['why']}; every block that is not zero was kept"
        for row in shape["partitions"]
        if "why" in row
    ]


def cut_off(shape: Mapping[str, Any]) -> str:
    """What is to be said of a disk on which more bytes are described than it has."""
    missing, size = shape["missing"], shape["size"]
    return (
        f"the disk is cut off: {missing / (1 << 20):.1f} MiB are missing behind its {size >> 20} MiB, by its"
        f" partition table or a file system on it"
    )


def shape_of(header: Header) -> Mapping[str, Any]:
    """The disk's description. Raises BadInput when the version is no disk or does not describe it."""
    if header.kind != KIND:
        raise BadInput(f"{header.name}@{header.number} is a tree of files, not a disk")
    shape = header.meta.get(KIND)
    numbers = isinstance(shape, dict) and all(
        type(shape.get(key)) is int and shape[key] > 0 for key in ("size", "sector")
    )
    if not numbers or not isinstance(shape, dict) or not isinstance(shape.get("free"), list):
        raise BadInput(f"{header.name}@{header.number}: its description of the disk is damaged")
    return shape


def read_regions(header: Header, entries: Iterable[Entry]) -> Iterator[tuple[int, Entry]]:
    """(offset, entry) of every region in order. Raises BadInput for anything else in the manifest."""
    size, place = shape_of(header)["size"], 0
    for entry in entries:
        if entry.type == "dir" and not entry.path:
            continue
        offset = int(entry.path, 16) if _NAME.match(entry.path) else -1
        if entry.type != "file" or offset < place or offset + entry.size > size:
            raise BadInput(f"{header.name}@{header.number}: {entry.name} is no region of this disk")
        place = offset + entry.size
        yield offset, entry
