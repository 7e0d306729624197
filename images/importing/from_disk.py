"""Import a whole disk or partition of any system: a block device, a raw image, a virtual machine's disk.

What is kept of it is decided by blocks/survey.py; a file system that was not unmounted is kept block by
block, and the version says so in its warnings.
"""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from images.blocks import regions
from images.blocks.device import Device, FileDevice
from images.blocks.survey import kept, survey
from images.errors import BadInput
from images.importing.nbd import NbdDevice, describe
from images.importing.virtual_check import check_whole
from images.manifest import Entry
from images.progress import Progress, silent
from images.session import Session
from images.store import ImageStore
from images.versions import Version

_VIRTUAL = {b"QFI\xfb": "qcow2", b"KDMV": "vmdk", b"# Disk D": "vmdk", b"vhdxfile": "vhdx"}
_VIRTUAL[b"conectix"] = "vpc"


def virtual_format(start: bytes) -> str | None:
    """What kind of virtual disk begins with these (512 or more) bytes, as qemu names it; None: none."""
    if start[64:68] == b"\x7f\x10\xda\xbe":
        return "vdi"
    return next((kind for magic, kind in _VIRTUAL.items() if start.startswith(magic)), None)


def looks_like_disk(source: Path, start: bytes) -> bool:
    """Whether a file that begins with these bytes is a disk: a virtual one, or raw with a table or a file
    system on it.
    """
    if virtual_format(start) is not None:
        return True
    if start[257:262] == b"ustar" or len(start) < 4096:
        return False
    with closing(FileDevice(source)) as device:
        shape = survey(device).shape
    return bool("missing" in shape or shape["table"] != "none" or shape["partitions"][0]["fs"])


def import_disk(
    store: ImageStore,
    name: str,
    source: Path,
    comment: str = "",
    meta: Mapping[str, Any] | None = None,
    progress: Progress = silent,
) -> Version:
    """Make the disk `source` the next version of `name`. Raises BadInput, ImageError, OSError."""
    if source.is_block_device():
        _check_idle(source)
    elif not source.is_file():  # a pipe would be waited for, and cannot be read twice
        raise BadInput(f"{source} is no disk, nor a file of one")
    with source.open("rb") as file:
        kind = virtual_format(file.read(512))
    if kind is None or source.is_block_device():
        with closing(FileDevice(source)) as device:
            return import_device(store, name, device, comment, meta, progress)
    if describe(source) != kind:
        raise BadInput(f"{source} says it is {kind}, but qemu reads it as something else")
    check_whole(source, kind)
    with NbdDevice(source, kind) as virtual:
        return import_device(store, name, virtual, comment, meta, progress)


def _check_idle(source: Path) -> None:
    """Raises BadInput when somebody has the device: what is read would change meanwhile."""
    try:
        os.close(os.open(source, os.O_RDONLY | os.O_EXCL | os.O_CLOEXEC))  # EXCL: fails while it is mounted
    except OSError as err:
        if err.errno != errno.EBUSY:
            raise
        raise BadInput(f"{source} is in use; unmount it first, or capture the running system") from err


def import_device(
    store: ImageStore,
    name: str,
    device: Device,
    comment: str,
    meta: Mapping[str, Any] | None,
    progress: Progress,
) -> Version:
    """The same for anything that has blocks."""
    found = survey(device)
    if "missing" in found.shape:
        whole = device.size + found.shape["missing"]
        raise BadInput(
            f"{regions.cut_off(found.shape)}; copy it again. What can be had no more is made zeros by making"
            f" the file {whole} bytes long (truncate, qemu-img resize)"
        )
    facts = {regions.KIND: found.shape, **(meta or {})}
    warnings = regions.doubts(found.shape)
    if warnings:
        facts["warnings"] = warnings
    with store.writer() as session:
        session.tree.add(regions.ROOT)
        for offset in range(0, device.size, regions.REGION):
            progress(offset, device.size, f"{offset >> 20} of {device.size >> 20} MiB")
            end = min(offset + regions.REGION, device.size)
            ranges = kept(device, found.areas, offset, end)
            if ranges:
                entry = regions.region(offset, end - offset, ranges)
                session.tree.add(_store(session, device, entry, offset))
        progress(device.size, device.size, "publishing")
        return session.publish(name, comment, meta=facts, kind=regions.KIND)


def _store(session: Session, device: Device, entry: Entry, base: int) -> Entry:
    ranges = list(((0, entry.size),) if entry.extents is None else entry.extents)[::-1]

    def read(size: int) -> bytes:
        out = io.BytesIO()
        while ranges and size:
            offset, length = ranges.pop()
            taken = min(size, length)
            out.write(device.read(base + offset, taken))
            if taken < length:
                ranges.append((offset + taken, length - taken))
            size -= taken
        return out.getvalue()

    return entry._replace(chunks=session.put_stream(read))
