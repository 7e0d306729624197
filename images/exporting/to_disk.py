"""Out of the store as a virtual machine's disk: raw (sparse) or qcow2. A disk as it was; of a tree of files a
disk that boots them (machine.py)."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from images.blocks.regions import shape_of
from images.blocks.writing import write_disk
from images.errors import BadInput, ImageConflict, ImageError
from images.exporting.folder import private
from images.exporting.machine import Machine, plain_machine, write_machine
from images.progress import Progress, silent
from images.store import ImageStore
from images.tree_writer import Written


def export_raw(
    store: ImageStore, ref: str, target: Path, progress: Progress = silent, machine: Machine | None = None
) -> Written:
    """Write a disk to the sparse file `target`, which appears when it is complete. `machine`: what a tree of
    files becomes; a plain one.

    Raises ImageConflict, ImageNotFound, BadInput, OSError.
    """
    temp, written = _written(store, ref, target, progress, machine)
    temp.rename(target)
    return written


def export_qcow2(
    store: ImageStore, ref: str, target: Path, progress: Progress = silent, machine: Machine | None = None
) -> Written:
    """The same as qcow2. Needs room for the raw form beside it meanwhile."""
    if shutil.which("qemu-img") is None:
        raise BadInput("qemu-img is missing on this machine; install the package qemu-utils")
    raw, written = _written(store, ref, target, progress, machine)
    made = target.with_name(f".{target.name}.qcow2.tmp")
    try:
        private(made).close()  # qemu-img writes into what is there
        command = ["qemu-img", "convert", "-f", "raw", "-O", "qcow2", str(raw), str(made)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise ImageError(f"qemu-img failed: {done.stderr.strip()[-300:]}")
        made.rename(target)
    finally:
        raw.unlink()
        made.unlink(missing_ok=True)
    return written


def _written(
    store: ImageStore, ref: str, target: Path, progress: Progress, machine: Machine | None
) -> tuple[Path, Written]:
    """The disk as a sparse file beside `target`."""
    manifest = store.manifest(ref)
    if target.exists():
        raise ImageConflict(f"{target} is there already")
    temp = target.with_name(f".{target.name}.tmp")
    try:
        if manifest.header.kind == "tree":
            temp.unlink(missing_ok=True)
            shape = machine or plain_machine(manifest.header.name)
            write_machine(store, manifest, ref, temp, shape, progress)
            return temp, Written(manifest.header.files, manifest.header.bytes)
        chunks = store.source(ref).stream(chunk.id for chunk in manifest.chunks())
        with private(temp) as file:
            os.ftruncate(file.fileno(), shape_of(manifest.header)["size"])
            write_disk(manifest.header, manifest.entries(), chunks, file.fileno(), True, progress)
    except BaseException:
        temp.unlink(missing_ok=True)
        raise
    return temp, Written(1, manifest.header.bytes)
