"""Out of the store into a directory, with everything a file system keeps (tree_writer.py)."""

from __future__ import annotations

from pathlib import Path

from images.exporting.folder import filled
from images.exporting.trees import tree_of
from images.progress import Progress, silent
from images.store import ImageStore
from images.tree_writer import Written, write_tree


def export_directory(store: ImageStore, ref: str, target: Path, progress: Progress = silent) -> Written:
    """Write a version below `target`, which is made or must be empty; after a failure it is as before.

    Raises ImageConflict, ImageNotFound, BadInput, OSError.
    """
    manifest = tree_of(store, ref)
    with filled(target):
        return write_tree(manifest, store.source(ref), target, progress)
