"""Puts a disk image on this machine's disk: any system, sector by sector where it matters.

Nothing is made this machine's own and no partition grows: what comes back is what was taken. On a larger
disk only the copy of the GPT moves to the end. Python 3.8, standard library only.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from images.agent.verify import BUDGET, drop_caches
from images.blocks.gpt_move import move_backup
from images.blocks.regions import shape_of
from images.blocks.writing import check_target, verify_disk, write_disk
from images.fetch import ChunkSource
from images.progress import Progress
from images.sealed import SealedManifest


def check_disk(manifest: SealedManifest, disk: Mapping[str, Any]) -> None:
    """Whether the image fits this disk (a row of the inventory). Raises BadInput before it is touched."""
    check_target(shape_of(manifest.header), disk["size"], disk["sector"], str(disk["path"]))


def put_disk(manifest: SealedManifest, source: ChunkSource, path: str, progress: Progress) -> int:
    """Write the image to the disk at `path`, which nothing uses, and read some of it back; bytes written.

    Raises BadInput, ChunkCorrupt, OSError; the disk has no boot code then.
    """
    shape = shape_of(manifest.header)
    handle = os.open(path, os.O_RDWR | os.O_EXCL | os.O_CLOEXEC)  # EXCL: fails while anything is mounted
    try:
        size = os.lseek(handle, 0, os.SEEK_END)
        check_target(shape, size, shape["sector"], path)
        chunks = source.stream(chunk.id for chunk in manifest.chunks())
        written = write_disk(manifest.header, manifest.entries(), chunks, handle, progress=progress)
        drop_caches()
        verify_disk(manifest.header, manifest.entries(), handle, BUDGET)
        if shape.get("table") == "gpt" and size > shape["size"]:
            move_backup(handle, size, shape["sector"])
    finally:
        os.close(handle)
    return written
