"""What every export of files asks first."""

from __future__ import annotations

from images.errors import BadInput
from images.sealed import SealedManifest
from images.store import ImageStore


def tree_of(store: ImageStore, ref: str) -> SealedManifest:
    """The manifest of a version that is a tree of files. Raises BadInput for a disk, and as `manifest`."""
    manifest = store.manifest(ref)
    if manifest.header.kind != "tree":
        raise BadInput(f"{ref} is a {manifest.header.kind}; it can be exported as raw or qcow2")
    return manifest
