"""Out of the store as a container image: an OCI image layout of one layer (image-spec 1.1, image-layout.md).

The layer is a gzip-compressed tar, which every runtime reads. Its holes are zeros: not all runtimes know
sparse members. The directory is complete once index.json is there, which is written last.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, cast

from images.disk import write_file
from images.errors import BadInput
from images.exporting.folder import filled
from images.exporting.losses import OCI
from images.exporting.to_tar import export_tar
from images.exporting.trees import tree_of
from images.manifest import Header
from images.progress import Progress, silent
from images.store import ImageStore
from images.tree_writer import Written

_TYPE = "application/vnd.oci.image."
_LEVEL = 4
_MODE = 0o644
_WHITEOUT = b".wh."


def export_oci(store: ImageStore, ref: str, target: Path, progress: Progress = silent) -> Written:
    """Write a version as a layout into `target`, which is made or must be empty; after a failure it
    is as before.

    Raises ImageConflict, ImageNotFound, BadInput, OSError.
    """
    manifest = tree_of(store, ref)
    header = manifest.header
    for entry in manifest.entries():
        if entry.path.rpartition(b"/")[2].startswith(_WHITEOUT):
            raise BadInput(
                f"{ref} has {entry.name}: in a container image such a name means that another file is gone;"
                f" rename it, or export a tar"
            )
    with filled(target):
        return _layout(store, ref, header, target, progress)


def _layout(store: ImageStore, ref: str, header: Header, target: Path, progress: Progress) -> Written:
    target.chmod(0o700)  # whoever may not become root reads no shadow file
    blobs = target / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    with (blobs / "layer.tmp").open("wb") as file:
        layer = _Layer(file)
        written = export_tar(store, ref, cast("BinaryIO", layer), progress, OCI)
        layer.finish()
    (blobs / "layer.tmp").rename(blobs / layer.packed.hexdigest())
    note = f"{header.name}@{header.number} {header.comment}".strip()
    created = datetime.fromtimestamp(header.created, UTC).isoformat()
    config = _blob(blobs, "config.v1+json", {
        "architecture": header.meta.get("architecture") or "amd64",
        "os": "linux",
        "created": created,
        "config": {},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{layer.plain.hexdigest()}"]},
        "history": [{"created": created, "comment": note}],
    })  # fmt: skip
    row = {"mediaType": f"{_TYPE}layer.v1.tar+gzip", "digest": f"sha256:{layer.packed.hexdigest()}"}
    manifest = _blob(blobs, "manifest.v1+json", {
        "schemaVersion": 2,
        "mediaType": f"{_TYPE}manifest.v1+json",
        "config": config,
        "layers": [{**row, "size": layer.size}],
    })  # fmt: skip
    manifest["annotations"] = {"org.opencontainers.image.ref.name": f"{header.name}-{header.number}"}
    write_file(target / "oci-layout", b'{"imageLayoutVersion": "1.0.0"}\n', mode=_MODE)
    index = {"schemaVersion": 2, "mediaType": f"{_TYPE}index.v1+json", "manifests": [manifest]}
    write_file(target / "index.json", json.dumps(index).encode(), mode=_MODE)
    return written


def _blob(blobs: Path, kind: str, value: dict[str, Any]) -> dict[str, Any]:
    """Write a JSON blob; returns its descriptor."""
    data = json.dumps(value).encode()
    digest = hashlib.sha256(data).hexdigest()
    write_file(blobs / digest, data, mode=_MODE)
    return {"mediaType": _TYPE + kind, "digest": f"sha256:{digest}", "size": len(data)}


class _Layer:
    """A file that compresses what is written to it and knows both digests."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, 31)  # 31: with gzip's header, time 0
        self.plain, self.packed, self.size = hashlib.sha256(), hashlib.sha256(), 0

    def write(self, data: bytes) -> int:
        """As of a file."""
        self.plain.update(data)
        self._keep(self._packer.compress(data))
        return len(data)

    def finish(self) -> None:
        """Write what is held back."""
        self._keep(self._packer.flush())

    def _keep(self, data: bytes) -> None:
        self.packed.update(data)
        self.size += len(data)
        self._file.write(data)
