"""Every form that images are exported in, by name: the one entry for CLI and page."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from images.errors import BadInput, ImageConflict
from images.exporting.folder import private
from images.exporting.machine import Machine
from images.exporting.packing import PACKERS, packed
from images.exporting.to_directory import export_directory
from images.exporting.to_disk import export_qcow2, export_raw
from images.exporting.to_oci import export_oci
from images.exporting.to_squashfs import export_squashfs
from images.exporting.to_tar import export_tar
from images.progress import Progress, silent
from images.store import ImageStore
from images.tree_writer import Written


def _tar_file(store: ImageStore, ref: str, target: Path, progress: Progress = silent) -> Written:
    if target.exists():
        raise ImageConflict(f"{target} is there already")
    target.parent.mkdir(parents=True, exist_ok=True)
    temp = target.with_name(f".{target.name}.tmp")
    try:
        with private(temp) as file:
            with packed(file, target.name) as out:
                written = export_tar(store, ref, out, progress)
            file.flush()
            os.fsync(file.fileno())
        temp.rename(target)
    finally:
        temp.unlink(missing_ok=True)
    return written


DISKS = {"raw": export_raw, "qcow2": export_qcow2}
FORMATS: dict[str, Callable[[ImageStore, str, Path, Progress], Written]] = {
    "directory": export_directory,
    "tar": _tar_file,
    "oci": export_oci,
    "squashfs": export_squashfs,
    **DISKS,
}
_SUFFIXES = {".tar": "tar", ".squashfs": "squashfs", ".sqfs": "squashfs", ".raw": "raw", ".img": "raw"}
_SUFFIXES |= {".qcow2": "qcow2", ".oci": "oci", **dict.fromkeys(PACKERS, "tar")}


def export_image(
    store: ImageStore, ref: str, target: Path, form: str | None = None, progress: Progress = silent,
    machine: Machine | None = None,
) -> tuple[str, Written]:  # fmt: skip
    """Write a version to `target`; `form` is one of FORMATS, by default what the name's ending says, or a
    directory. A tar is compressed as its name's ending says. `machine`: what a tree becomes as raw or qcow2.
    Returns the form.

    Raises BadInput, ImageConflict, ImageNotFound, ImageError, OSError.
    """
    chosen = form_of(target, form)
    if chosen in DISKS:
        return chosen, DISKS[chosen](store, ref, target, progress, machine)
    return chosen, FORMATS[chosen](store, ref, target, progress)


def form_of(target: Path, form: str | None = None) -> str:
    """The form that `target` gets: `form`, or what its name's ending says, in capitals too; without one a
    directory. Raises BadInput for another ending: a directory of that name would surprise everybody."""
    known = ", ".join(FORMATS)
    if form is not None:
        if form not in FORMATS:
            raise BadInput(f"{form!r} is no form of export; there are {known}")
        return form
    if target.name in ("-", ""):
        raise BadInput(f"{target} is no file or directory that an export could become; name one")
    if not target.suffix:
        return "directory"
    chosen = _SUFFIXES.get(target.suffix.lower())
    if chosen is None:
        raise BadInput(
            f"{target.suffix!r} is no form of export; there are {known}: the name's ending says which, "
            "or --format does (--format directory for a directory of that name)"
        )
    return chosen
