"""What a store consists of, and reading it: the ground that those who change it stand on (session.py,
publish.py, gc.py, verify.py). The whole is in store.py, which has the picture.

Whoever serves nodes needs packs, manifests, locators, names and store.pub, all plain files, and never writes.
"""

from __future__ import annotations

import errno
import grp
import json
import os
from contextlib import closing, suppress
from pathlib import Path
from typing import TypeVar

from images import catalogue, signature
from images.disk import DIR_MODE, locked, write_file
from images.errors import BadInput, ChunkMissing, ImageError, ImageNotFound, SignatureInvalid
from images.fetch import PackSource
from images.fetch_plan import CACHE, WINDOW
from images.index import Index
from images.locator import Locator
from images.locator_writer import build
from images.marks import marked
from images.named_source import NamedSource, lost
from images.pack import SUFFIX
from images.sealed import SealedManifest, open_sealed
from images.versions import Version

FORMAT, PATCHES = 1, 2  # what a store begins as, and what it is once a pack of it has patches
GROUP = "bootsrv"  # the service's group, when this machine has it
FOLDERS = ("packs", "manifests", "locators", "names", "temp", "sessions", "condemned")
_HEX = frozenset("0123456789abcdef")
_Kind = TypeVar("_Kind", bound="Shelf")


class Shelf:
    """The files of one store. Cheap to open; safe to use from several processes at once."""

    def __init__(self, root: Path, keys: Path) -> None:
        self.root = root
        self.keys = keys
        self.packs = root / "packs"
        self.manifests = root / "manifests"
        self.locators = root / "locators"
        self.names_dir = root / "names"
        self.temp = root / "temp"
        self.sessions = root / "sessions"
        self.condemned = root / "condemned"
        self.lock = root / "lock"
        self.index = root / "index.db"

    @classmethod
    def open(cls: type[_Kind], root: Path, create: bool = True, keys: Path | None = None) -> _Kind:
        """Open the store at `root`, making it when `create`. `keys` (default ROOT/keys) holds the private
        key.

        Raises ImageNotFound when there is none, ImageError for a store of a newer form.
        """
        store = cls(root, keys or root / "keys")
        mark = root / "format.json"
        if not mark.exists():
            if not create:
                raise ImageNotFound(f"{root} is no image store")
            store._create(mark)
        try:
            found = json.loads(mark.read_bytes())["format"]
        except (ValueError, KeyError, TypeError) as err:
            raise ImageError(f"{mark} is damaged: {err}") from err
        if found not in (FORMAT, PATCHES):
            raise ImageError(f"{root}: store format {found!r} needs a newer bootsrv")
        return store

    # -- what there is

    def names(self) -> list[str]:
        """All image names, sorted."""
        return catalogue.names(self.names_dir)

    def versions(self, name: str | None = None) -> list[Version]:
        """Versions of one image or of all, by name and number. Raises ImageNotFound for an unknown name."""
        wanted = self.names() if name is None else [name]
        return [one for each in wanted for one in catalogue.load(self.names_dir, each).listed()]

    def resolve(self, ref: str) -> Version:
        """NAME, NAME@NUMBER or NAME@TAG to a version. Raises ImageNotFound, BadInput."""
        return catalogue.find(self.names_dir, ref)[1]

    def manifest(self, ref: str) -> SealedManifest:
        """A version's manifest, checked, by reference or by manifest id. Raises as `open_sealed`."""
        id = ref if _is_id(ref) else self.resolve(ref).id
        path = self.manifest_path(id)
        if path is None:
            called, repair = self._called(id)
            raise ImageNotFound(f"{called}: its manifest {self.manifests / id} is missing; {repair}")
        try:
            return open_sealed(path, self.public_key(), id)
        except (BadInput, SignatureInvalid) as error:
            called, repair = self._called(id)
            raise type(error)(f"{called}: its manifest {error}; {repair}") from error

    def _called(self, id: str) -> tuple[str, str]:
        """How a person knows that manifest, and what to do when it is damaged."""
        for name in self.names():
            with suppress(ImageError):
                for version in catalogue.load(self.names_dir, name).listed():
                    if version.id == id:
                        return version.ref, f"restore it from a backup or remove {version.ref}"
        return "a version that is in no list", "run `bootsrv image verify --repair`"

    def source(self, ref: str, window: int = WINDOW, cache: int = CACHE) -> PackSource:
        """The chunks of a version, read from the packs here. A damaged one is told by its file. `window` and
        `cache` are bytes, as for PackSource.
        """
        id = ref if _is_id(ref) else self.resolve(ref).id
        locator = Locator.parse(self._locator(id))
        return NamedSource(
            locator, self.read_range, lambda: self.manifest(id), lambda pack: f"{self.packs / pack}{SUFFIX}",
            window, cache,
        )  # fmt: skip

    # -- files to serve: None when there is no such thing, whatever the text looks like

    def manifest_path(self, id: str) -> Path | None:
        """The sealed manifest with that sha256 hex."""
        return _existing(self.manifests, id)

    def locator_path(self, id: str) -> Path | None:
        """The locator of the manifest with that sha256 hex."""
        return _existing(self.locators, id)

    def pack_path(self, id: str) -> Path | None:
        """The pack with that sha256 hex."""
        return _existing(self.packs, id, SUFFIX)

    def locator(self, id: str) -> bytes:
        """The locator of the manifest with that hex id; rebuilt when its file is gone."""
        path = self.locator_path(id)
        return path.read_bytes() if path else self.rebuild_locator(id)

    def public_key(self) -> bytes:
        """The key nodes check manifests with, 32 bytes."""
        return (self.root / "store.pub").read_bytes()

    def read_range(self, pack: str, start: int, length: int) -> bytes:
        """Bytes of a pack. Raises ChunkMissing when it is gone, OSError."""
        path = self.pack_path(pack)
        if path is None:
            raise ChunkMissing(f"pack {pack} is missing from {self.packs}; run `bootsrv image verify`")
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return os.pread(fd, length, start)
        finally:
            os.close(fd)

    # -- for the files beside this one

    def open_index(self, memory: bool = False) -> Index:
        """A connection to the chunk index, brought up to date with the packs; `memory`: one beside it that
        needs no room on the disk. Raises OSError.
        """
        return Index(self.index, self.packs, marked(self.condemned), memory)

    def rebuild_locator(self, id: str, index: Index | None = None) -> bytes:
        """Make a version's locator anew from manifest and packs, and keep it. Raises ChunkMissing."""
        if index is None:
            with closing(self.open_index()) as index:
                data = self._build(id, index)
        else:
            data = self._build(id, index)
        write_file(self.locators / id, data, self.temp)
        return data

    def _locator(self, id: str) -> bytes:
        """As `locator`; where the disk has no room to keep it, reading goes on without."""
        try:
            return self.locator(id)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
        with closing(self.open_index(memory=True)) as index:
            return self._build(id, index)

    def _build(self, id: str, index: Index) -> bytes:
        manifest = self.manifest(id)
        try:
            return build(id, (chunk.id for chunk in manifest.chunks()), index)[0]
        except ChunkMissing as error:
            if not error.chunk:
                raise
            raise ChunkMissing(lost(manifest, error.chunk), error.chunk) from error

    def allow_patches(self) -> None:
        """Before the first pack with patches: programs that would take their bases for unused stay out from
        now on. Call under the store's lock.
        """
        mark = self.root / "format.json"
        if mark.read_bytes() != _format(PATCHES):
            write_file(mark, _format(PATCHES))

    def private_key(self) -> bytes:
        """The signing key. Raises ImageError when it does not belong to this store any more."""
        try:
            key = (self.keys / "signing.key").read_bytes()
        except FileNotFoundError:
            raise ImageError(f"{self.keys}/signing.key is missing; restore it from a backup") from None
        if signature.public_key(key) != self.public_key():
            raise ImageError(f"{self.keys}/signing.key does not fit {self.root}/store.pub")
        return key

    def _create(self, mark: Path) -> None:
        self.root.mkdir(parents=True, exist_ok=True)
        with locked(self.root / "lock"):
            if mark.exists():
                return
            with suppress(KeyError, PermissionError):  # no such group here, or not ours to give: owner's own
                os.chown(self.root, -1, grp.getgrnam(GROUP).gr_gid)
            self.root.chmod(DIR_MODE)
            for name in FOLDERS:
                (self.root / name).mkdir(exist_ok=True)
                (self.root / name).chmod(DIR_MODE)
            self.keys.mkdir(mode=0o700, parents=True, exist_ok=True)
            private = self.keys / "signing.key"
            if not private.exists():
                write_file(private, signature.generate(), mode=0o600)
            write_file(self.root / "store.pub", signature.public_key(private.read_bytes()))
            write_file(mark, _format(FORMAT))


def _format(number: int) -> bytes:
    return json.dumps({"format": number}).encode() + b"\n"


def _is_id(text: str) -> bool:
    return len(text) == 64 and _HEX.issuperset(text)


def _existing(folder: Path, id: str, suffix: str = "") -> Path | None:
    if not _is_id(id):
        return None
    path = folder / (id + suffix)
    return path if path.is_file() else None
