"""Puts a disk image on this machine's disk: any system, sector by sector where it matters.

Nothing is made this machine's own and no partition grows: what comes back is what was taken. On a larger
disk only the copy of the GPT moves to the end. Python 3.8, standard library only.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, NamedTuple

from images.agent.verify import BUDGET, drop_caches
from images.blocks.comparing import compare_disk, looks_known
from images.blocks.gpt_move import move_backup
from images.blocks.regions import shape_of
from images.blocks.writing import check_target, missing, verify_disk, write_disk
from images.fetch import ChunkSource
from images.progress import Progress
from images.sealed import SealedManifest


def check_disk(manifest: SealedManifest, disk: Mapping[str, Any]) -> None:
    """Whether the image fits this disk (a row of the inventory). Raises BadInput before it is touched."""
    check_target(shape_of(manifest.header), disk["size"], disk["sector"], str(disk["path"]))


class Put(NamedTuple):
    """Bytes that were written, and bytes that the disk had already."""

    written: int
    kept: int


def put_disk(
    manifest: SealedManifest, source: ChunkSource, path: str, progress: Progress, blank: bool = False
) -> Put:
    """Write the image to the disk at `path`, which nothing uses, and read some of it back.

    What is on the disk already is compared and stays, unless it is `blank`, just cleared. Raises BadInput,
    ChunkCorrupt, OSError; the disk has no boot code then, or is untouched.
    """
    header, shape = manifest.header, shape_of(manifest.header)
    handle = os.open(path, os.O_RDWR | os.O_EXCL | os.O_CLOEXEC)  # EXCL: fails while anything is mounted
    try:
        size = os.lseek(handle, 0, os.SEEK_END)
        check_target(shape, size, shape["sector"], path)
        found = None
        if not blank and looks_known(header, manifest.entries(), handle):
            found = compare_disk(header, manifest.entries(), handle, progress)
        written = 0
        if found is None or not found.all:
            wanted = manifest.chunks() if found is None else missing(header, manifest.entries(), found)
            chunks = source.stream(chunk.id for chunk in wanted)
            written = write_disk(header, manifest.entries(), chunks, handle, progress=progress, found=found)
            drop_caches()
            verify_disk(header, manifest.entries(), handle, BUDGET)
        if shape.get("table") == "gpt" and size > shape["size"]:  # perhaps cut off just before, the last time
            move_backup(handle, size, shape["sector"])
    finally:
        os.close(handle)
    return Put(written, found.bytes if found is not None else 0)
