"""Reads a sample of what was written back from the disk and compares it with the manifest, chunk by chunk.

Every chunk was checked before it was written; this catches a disk or controller that loses what it took.
The page cache is dropped first, so that it is the disk that answers; what only was compared came from the
disk already. Python 3.8, standard library only.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

from images.agent.rootfs import Root
from images.errors import ChunkCorrupt
from images.manifest import Entry
from images.sealed import SealedManifest

BUDGET = 24 << 20  # bytes read back
DROP_CACHES = Path("/proc/sys/vm/drop_caches")


def drop_caches() -> None:
    """Writes everything out and forgets what files hold (names and inodes stay: they will be looked at).
    Needs root; a kernel without the knob is left alone.
    """
    os.sync()
    if DROP_CACHES.exists():
        DROP_CACHES.write_text("1\n")


def verify_sample(
    target: Path, manifest: SealedManifest, budget: int = BUDGET, written: Sequence[int] | None = None
) -> tuple[int, int]:
    """Re-reads files spread evenly over the tree; returns (files, bytes). `written`: for each entry whether
    it was (None: all were); only these are read.

    ChunkCorrupt names the first bad one.
    """
    total = manifest.header.bytes
    if written is not None:
        total = sum(_data(entry) for entry, mark in zip(manifest.entries(), written) if mark)  # noqa: B905 - 3.8
    share = min(1.0, budget / max(1, total))
    root, files, read, passed = Root(target), 0, 0, 0
    try:
        for number, entry in enumerate(manifest.entries()):
            if written is not None and not written[number]:
                continue
            data = _data(entry)
            passed += data
            if data and read <= passed * share - data / 2:
                _compare(root, entry)
                files, read = files + 1, read + data
    finally:
        root.close()
    return files, read


def _data(entry: Entry) -> int:
    return sum(chunk.length for chunk in entry.chunks)


def _compare(root: Root, entry: Entry) -> None:
    handle = root.open("/" + os.fsdecode(entry.path), os.O_RDONLY | os.O_NOFOLLOW)
    try:
        if not same_data(handle, entry):
            raise ChunkCorrupt(f"{entry.name} reads back differently from what was written: bad disk?")
    finally:
        os.close(handle)


def same_data(handle: int, entry: Entry) -> bool:
    """Whether the open file's data ranges hold exactly the entry's chunks."""
    extents = entry.extents if entry.extents is not None else ((0, entry.size),)
    chunks = iter(entry.chunks)
    chunk, state, missing = None, hashlib.sha256(), 0
    for offset, length in extents:
        end = offset + length
        while offset < end:
            if missing == 0:
                chunk, state = next(chunks), hashlib.sha256()
                missing = chunk.length
            piece = os.pread(handle, min(missing, end - offset, 1 << 20), offset)
            state.update(piece)
            offset, missing = offset + len(piece), missing - len(piece)
            if not piece or (missing == 0 and chunk is not None and state.digest() != chunk.id):
                return False
    return True
