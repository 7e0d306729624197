"""A store as it is at one moment, for whoever copies it: hard links, so that it costs no room and no time.

The law: what the catalogue names in the snapshot is in the snapshot, whatever writers and gc do meanwhile.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from images.disk import DIR_MODE, locked
from images.errors import ChunkMissing
from images.locator import Locator
from images.pack import SUFFIX
from images.shelf import FOLDERS, Shelf

PREFIX = "snapshot."
STALE_SECONDS = 7 * 86400.0  # what a killed copy left behind; none takes a week


@contextmanager
def snapshot(store: Shelf, versions: bool = True) -> Iterator[Path]:
    """A folder that is a store of its own, without a private key; gone afterwards. Without `versions` it is
    an empty store with the same public key.

    Raises ChunkMissing when a version's files are not all there, OSError.
    """
    place = store.temp / f"{PREFIX}{os.getpid()}.{time.time_ns():x}"
    _sweep(store.temp)
    place.mkdir(mode=DIR_MODE)
    try:
        with locked(store.lock):
            for name in FOLDERS:
                (place / name).mkdir(mode=DIR_MODE)
            for path in (store.root / "format.json", store.root / "store.pub"):
                os.link(path, place / path.name)
            if versions:
                _link_versions(store, place)
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _link_versions(store: Shelf, place: Path) -> None:
    for path in store.names_dir.iterdir():
        os.link(path, place / "names" / path.name)
    for version in store.versions():
        manifest = store.manifest_path(version.id)
        if manifest is None:
            raise ChunkMissing(f"{version.ref}: its manifest is missing; run `bootsrv image verify`")
        locator = store.locator(version.id)  # rebuilt where its file is gone
        os.link(manifest, place / "manifests" / version.id)
        os.link(store.locators / version.id, place / "locators" / version.id)
        for pack in Locator.parse(locator).packs:
            name = pack + SUFFIX
            if (place / "packs" / name).exists():
                continue
            if store.pack_path(pack) is None:
                raise ChunkMissing(
                    f"{version.ref}: pack {pack[:12]} is missing; run `bootsrv image verify --repair`"
                )
            os.link(store.packs / name, place / "packs" / name)


def _sweep(temp: Path) -> None:
    for old in temp.glob(PREFIX + "*"):
        if old.stat().st_mtime < time.time() - STALE_SECONDS:
            shutil.rmtree(old, ignore_errors=True)
