"""Out of the store as a virtual machine's disk: raw (sparse) or qcow2."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from images.blocks.regions import shape_of
from images.blocks.writing import write_disk
from images.errors import BadInput, ImageConflict, ImageError
from images.progress import Progress, silent
from images.store import ImageStore
from images.tree_writer import Written


def export_raw(store: ImageStore, ref: str, target: Path, progress: Progress = silent) -> Written:
    """Write a disk to the sparse file `target`, which appears when it is complete.

    Raises ImageConflict, ImageNotFound, BadInput for a tree of files, OSError.
    """
    temp = _written(store, ref, target, progress)
    temp.rename(target)
    return Written(1, store.manifest(ref).header.bytes)


def export_qcow2(store: ImageStore, ref: str, target: Path, progress: Progress = silent) -> Written:
    """The same as qcow2. Needs room for the raw form beside it meanwhile."""
    if shutil.which("qemu-img") is None:
        raise BadInput("qemu-img is missing on this machine; install the package qemu-utils")
    raw = _written(store, ref, target, progress)
    made = target.with_name(f".{target.name}.qcow2.tmp")
    try:
        command = ["qemu-img", "convert", "-f", "raw", "-O", "qcow2", str(raw), str(made)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise ImageError(f"qemu-img failed: {done.stderr.strip()[-300:]}")
        made.rename(target)
    finally:
        raw.unlink()
        made.unlink(missing_ok=True)
    return Written(1, store.manifest(ref).header.bytes)


def _written(store: ImageStore, ref: str, target: Path, progress: Progress) -> Path:
    """The disk as a sparse file beside `target`."""
    manifest = store.manifest(ref)
    shape = shape_of(manifest.header)
    if target.exists():
        raise ImageConflict(f"{target} is there already")
    temp = target.with_name(f".{target.name}.tmp")
    chunks = store.source(ref).stream(chunk.id for chunk in manifest.chunks())
    try:
        with temp.open("wb") as file:
            os.ftruncate(file.fileno(), shape["size"])
            write_disk(manifest.header, manifest.entries(), chunks, file.fileno(), True, progress)
    except BaseException:
        temp.unlink(missing_ok=True)
        raise
    return temp
