"""Look at what was given and pick the importer for it: the one entry for CLI and page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from images.errors import BadInput
from images.importing import from_iso, from_squashfs
from images.importing.from_directory import import_directory
from images.importing.from_disk import import_disk, looks_like_disk
from images.importing.from_oci import import_oci, is_layout
from images.importing.from_tar import NoArchive, import_tar
from images.patterns import check_patterns
from images.progress import Progress, silent
from images.store import ImageStore
from images.tree_reader import EXCLUDES
from images.versions import Version


def excludes_nothing(source: Path, name: str) -> BadInput:
    """What is to be said when patterns were given with a source of which nothing can be left out."""
    return BadInput(
        f"{source} is no directory of files, and --exclude leaves out of these alone: import it without; of"
        f" a tree of files `bootsrv image edit {name} -- rm -r ...` takes away the rest"
    )


def import_image(
    store: ImageStore,
    name: str,
    source: Path,
    comment: str = "",
    meta: Mapping[str, Any] | None = None,
    excludes: Iterable[str] = EXCLUDES,
    progress: Progress = silent,
) -> Version:
    """Make `source` the next version of `name`: a directory, a tar of any compression, a container image, a
    squashfs, an ISO, a disk (block device, raw, qcow2, vmdk, vhdx, vdi).

    `excludes` are for directories; more of them than EXCLUDES for anything else are BadInput, as is one that
    cannot match. Raises BadInput when it is none of these or damaged, OSError.
    """
    if not source.exists():
        raise BadInput(f"{source} does not exist")
    if not (source.is_dir() or source.is_file() or source.is_block_device()):  # a pipe cannot be read twice
        raise BadInput(f"{source} is neither a directory nor a file nor a disk")
    excludes = tuple(excludes)
    added = [pattern for pattern in excludes if pattern not in EXCLUDES]
    check_patterns(added)
    layout = is_layout(source)
    if added and (layout or not source.is_dir()):
        raise excludes_nothing(source, name)
    if layout:
        return import_oci(store, name, source, comment, meta, progress)
    if source.is_dir():
        return import_directory(store, name, source, comment, meta, excludes, progress)
    if source.is_block_device():
        return import_disk(store, name, source, comment, meta, progress)
    with source.open("rb") as file:
        start = file.read(from_iso.PLACE + 8)
    if start.startswith(from_squashfs.MAGIC):
        return from_squashfs.import_squashfs(store, name, source, comment, meta, progress)
    if start[from_iso.PLACE :].startswith(from_iso.MAGIC):
        return from_iso.import_iso(store, name, source, comment, meta, progress)
    if looks_like_disk(source, start):
        return import_disk(store, name, source, comment, meta, progress)
    try:
        return import_tar(store, name, source, comment, meta, progress)
    except NoArchive as error:
        raise BadInput(f"{error}; if it is a disk, say --disk") from error
