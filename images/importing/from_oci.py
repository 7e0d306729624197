"""Import a container image: an OCI image layout (directory or tar) or what `docker save` writes.

The layers are laid over each other as the OCI image specification says (layer.md): later wins, `.wh.NAME`
takes NAME of the layers below away, `.wh..wh..opq` everything in its directory that this layer did not
bring itself. Law: every blob is hashed while it is read; one that does not fit its digest is BadInput, and
nothing is published. What `docker save` writes has no digests of its files, but its configuration tells those
of the plain layers. Both come compressed as a whole too (`docker save x | gzip`).
"""

from __future__ import annotations

import hashlib
import json
import platform
import re
import shutil
import tarfile
import tempfile
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import IO, Any, BinaryIO, Protocol, cast

from images.errors import BadInput
from images.importing.from_tar import TarReader, clean
from images.importing.intake import Intake
from images.importing.streams import DAMAGED, TRIPS, Peeked, decompressed
from images.progress import Progress, silent
from images.store import ImageStore
from images.versions import Version

_MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}
_JSON_LIMIT = 16 << 20
# Names as `docker save` of all ages and an OCI layout begin with: ID/, ID/layer.tar, ID.json, ID.tar, blobs/.
_OURS = re.compile(r"(oci-layout|index\.json|manifest\.json|blobs/sha256|[0-9a-f]{64}(/|\.json|\.tar|\Z))")
_DEEP = 4  # indexes within indexes


class Blobs(Protocol):
    """The files of a layout by name."""

    def open(self, name: str) -> IO[bytes]:
        """Raises BadInput when there is no such file."""

    def has(self, name: str) -> bool: ...

    def close(self) -> None: ...


class _Folder:
    def __init__(self, root: Path) -> None:
        self._root = root

    def open(self, name: str) -> IO[bytes]:
        if not self.has(name):
            raise BadInput(f"{self._root}: {name} is missing")
        return (self._root / name).open("rb")

    def has(self, name: str) -> bool:
        return ".." not in Path(name).parts and not Path(name).is_absolute() and (self._root / name).is_file()

    def close(self) -> None:
        return


class _Archive:
    """A tar of them. A compressed one is unpacked into `temp` first: its parts are not read in order."""

    def __init__(self, path: Path, temp: Path) -> None:
        self._path = path
        try:
            self._file = _plain(path, temp)
            self._tar = tarfile.open(fileobj=self._file, mode="r:")  # noqa: SIM115
            self._names = {member.name.removeprefix("./"): member for member in self._tar.getmembers()}
        except (tarfile.TarError, *DAMAGED, *TRIPS) as err:
            if isinstance(err, OSError) and err.errno is not None:
                raise  # the environment, not the archive's form
            raise BadInput(f"{path} is damaged or no archive: {err}") from err

    def open(self, name: str) -> IO[bytes]:
        member = self._names.get(name)
        file = self._tar.extractfile(member) if member else None
        if file is None:
            raise BadInput(f"{self._path}: {name} is missing")
        return file

    def has(self, name: str) -> bool:
        return name in self._names

    def close(self) -> None:
        self._tar.close()
        self._file.close()


def _plain(path: Path, temp: Path) -> IO[bytes]:
    """The archive, uncompressed, where every part can be sought."""
    file = path.open("rb")
    stream = Peeked(file)
    plain = decompressed(stream)
    if plain is cast("BinaryIO", stream):
        file.seek(0)
        return file
    with file:
        unpacked = tempfile.TemporaryFile(dir=temp, prefix="archive.", suffix=".tmp")  # noqa: SIM115
        shutil.copyfileobj(plain, unpacked, 1 << 20)
    unpacked.seek(0)
    return unpacked


def is_layout(path: Path) -> bool:
    """Whether `path` (directory, tar of any compression) is a container image rather than a root."""
    if path.is_dir():
        return (path / "oci-layout").is_file() or (path / "manifest.json").is_file()
    try:
        with path.open("rb") as file, tarfile.open(fileobj=decompressed(Peeked(file)), mode="r|") as tar:
            for _ in range(64):  # docker writes blobs first; none of a root's first names looks like these
                member = tar.next()
                if member is None:
                    return False
                if _OURS.match(member.name.removeprefix("./")):
                    return True
    except (tarfile.TarError, *DAMAGED, *TRIPS):  # the importer of plain archives says what is wrong with it
        return False
    return False


def import_oci(
    store: ImageStore,
    name: str,
    source: Path,
    comment: str = "",
    meta: Mapping[str, Any] | None = None,
    progress: Progress = silent,
) -> Version:
    """Make a container image's merged layers the next version of `name`. Raises BadInput, OSError."""
    with closing(_Folder(source) if source.is_dir() else _Archive(source, store.temp)) as blobs:
        layers, config = _layers(blobs)
        with Intake(store, progress) as intake:
            reader = _LayerReader(intake)
            for number, (file, digest) in enumerate(layers, 1):
                intake.tell(f"layer {number} of {len(layers)}")
                reader.layer(blobs, file, digest)
            reader.settle()
            facts = {"oci": {key: config[key] for key in ("architecture", "os", "created") if key in config}}
            return intake.publish(name, comment, {**facts, **(meta or {})})


class _LayerReader(TarReader):
    def layer(self, blobs: Blobs, file: str, digest: str | None) -> None:
        self._own: set[bytes] = set()  # what this layer brought, which its whiteouts spare
        hasher = hashlib.sha256()
        with blobs.open(file) as raw:
            stream = Peeked(raw, hasher)
            self.take(stream, f"layer {file}")
            stream.drain()
        if digest and hasher.hexdigest() != digest:
            raise BadInput(f"layer {file} is damaged: it does not match its digest")

    def member(self, tar: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        path = clean(member.name)
        tree = self._intake.tree
        folder, _, last = path.rpartition(b"/")
        if last == b".wh..wh..opq":
            tree.empty(tree.resolve_parent(folder + b"/x")[:-2] if folder else b"", self._own)
        elif last.startswith(b".wh."):
            gone = tree.resolve_parent((folder + b"/" if folder else b"") + last[4:])
            if gone not in self._own:
                tree.remove(gone)
        else:
            super().member(tar, member)
            self._own.add(tree.resolve_parent(path))


def _layers(blobs: Blobs) -> tuple[list[tuple[str, str | None]], dict[str, Any]]:
    """(file, digest) of each layer from the lowest up, and the image's configuration."""
    try:
        return _listed(blobs)
    except (KeyError, TypeError, AttributeError) as err:  # JSON, but not of the specified shape
        raise BadInput(f"the image's index or manifest is damaged: {type(err).__name__} {err}") from err


def _listed(blobs: Blobs) -> tuple[list[tuple[str, str | None]], dict[str, Any]]:
    if blobs.has("index.json"):
        manifest = _manifest(blobs, _json(blobs, "index.json"), _DEEP)
        found: list[tuple[str, str | None]] = [_blob(layer) for layer in manifest["layers"]]
        return found, dict(_json(blobs, _blob(manifest["config"])[0]).items())
    if blobs.has("manifest.json"):
        listed = _json(blobs, "manifest.json")
        if not isinstance(listed, list) or len(listed) != 1:
            raise BadInput("this archive holds several images; save one at a time")
        config = _json(blobs, listed[0]["Config"])
        return _with_plain_digests(blobs, listed[0]["Layers"], config), config
    raise BadInput("this is no container image: neither index.json nor manifest.json in it")


def _with_plain_digests(
    blobs: Blobs, files: list[str], config: Mapping[str, Any]
) -> list[tuple[str, str | None]]:
    """The digests are those of plain layers: a compressed one has its compression's own checksum instead."""
    told = (config.get("rootfs") or {}).get("diff_ids") or []
    if told and len(told) != len(files):
        raise BadInput(f"the image has {len(files)} layers, and its configuration tells of {len(told)}")
    found: list[tuple[str, str | None]] = []
    for file, digest in zip(files, told or [None] * len(files), strict=True):
        with blobs.open(file) as raw:
            stream = Peeked(raw)
            plain = decompressed(stream) is cast("BinaryIO", stream)
        found.append((file, _blob({"digest": digest})[1] if digest and plain else None))
    return found


def _manifest(blobs: Blobs, index: Any, deep: int) -> dict[str, Any]:
    """Follow indexes to the manifest for this machine's architecture."""
    if isinstance(index, dict) and "layers" in index:
        return index
    rows = index.get("manifests") if isinstance(index, dict) else None
    if not rows or not deep:
        raise BadInput("the image index leads to no image")
    wanted = _MACHINES.get(platform.machine(), platform.machine())
    images = [row for row in rows if row.get("platform", {}).get("os", "linux") == "linux"]
    fitting = [row for row in images if row.get("platform", {}).get("architecture", wanted) == wanted]
    if not fitting:
        raise BadInput(f"the image index has nothing for linux on {wanted}")
    return _manifest(blobs, _json(blobs, _blob(fitting[0])[0]), deep - 1)


def _blob(row: Mapping[str, Any]) -> tuple[str, str]:
    method, _, digest = str(row["digest"]).partition(":")
    if method != "sha256" or len(digest) != 64 or not set(digest) <= set("0123456789abcdef"):
        raise BadInput(f"digest {row['digest']!r} is none that this program knows")
    return f"blobs/sha256/{digest}", digest


def _json(blobs: Blobs, name: str) -> Any:
    with blobs.open(name) as file:
        data = file.read(_JSON_LIMIT)
    digest = name.rpartition("/")[2]
    if name.startswith("blobs/sha256/") and hashlib.sha256(data).hexdigest() != digest:
        raise BadInput(f"{name} is damaged: it does not match its digest")
    try:
        return json.loads(data)
    except ValueError as err:
        raise BadInput(f"{name} is damaged: {err}") from err
