"""A store on a disk with next to no room: who makes room works, others say which disk is full."""

from __future__ import annotations

import errno
import os
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from imagestore import contents, make, noise, publish

from images import sqlite_edge
from images.store import ImageStore

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="mounts")
KEPT = {"a": noise(60_000, 1)}


@pytest.fixture
def little(tmp_path: Path) -> Iterator[Path]:
    """A file system of 3 MiB."""
    place = tmp_path / "little"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(place)], check=True)
    yield place
    subprocess.run(["umount", str(place)], check=True)


def fill(place: Path, left: int) -> None:
    """Leave that many bytes."""
    with (place / "filler").open("wb", buffering=0) as file, pytest.raises(OSError, match="No space"):
        while True:
            file.write(bytes(4096))
    with (place / "filler").open("r+b") as file:
        file.truncate(file.seek(0, os.SEEK_END) - left)


@pytest.fixture
def store(little: Path) -> ImageStore:
    """One pack that nobody needs, one of which little is needed, and one that is needed."""
    store = make(little)
    publish(store, "unused", {"x": noise(100_000, 2)})
    publish(store, "thin", {"x": noise(200_000, 3), "y": noise(100_000, 4)})
    publish(store, "thin", {"y": noise(100_000, 4)})
    publish(store, "kept", KEPT)
    store.remove("unused@1")
    store.remove("thin@1")
    return store


@pytest.mark.parametrize("left", [8 << 10, 16 << 10, 32 << 10, 48 << 10, 64 << 10, 96 << 10])
def test_gc_gives_room_back(store: ImageStore, little: Path, left: int) -> None:
    fill(little, left)
    assert not list(store.verify())
    report = store.gc(grace=0)
    assert report.freed > 100_000 and report.left <= 1
    assert contents(store, "kept") == KEPT and not list(store.verify())
    assert store.gc(grace=0).left == 0
    assert contents(store, "thin") == {"y": noise(100_000, 4)} and not list(store.verify())
    assert sum(path.stat().st_size for path in store.packs.iterdir()) < 180_000


def test_gc_whose_index_finds_no_room_begins_again_without(
    store: ImageStore, little: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("images.gc.LITTLE", 0)
    fill(little, 16 << 10)
    assert store.gc(grace=0).freed > 100_000
    assert contents(store, "kept") == KEPT and not list(store.verify())


@pytest.mark.parametrize("left", [0, 8 << 10, 16 << 10, 32 << 10, 48 << 10, 64 << 10, 96 << 10])
def test_an_import_says_that_the_disk_is_full(store: ImageStore, little: Path, left: int) -> None:
    fill(little, left)
    with pytest.raises(OSError, match="No space left on device") as caught:
        publish(store, "more", {f"{number}": noise(40_000, 10 + number) for number in range(5)})
    assert caught.value.errno == errno.ENOSPC
    (little / "filler").unlink()
    assert contents(store, "kept") == KEPT and not list(store.verify())


def test_reading_needs_no_room(store: ImageStore, little: Path) -> None:
    for path in store.locators.iterdir():
        path.unlink()
    fill(little, 0)
    assert contents(store, "kept") == KEPT
    with pytest.raises(OSError, match=f"No space.*{store.locators}"):
        store.rebuild_locator(store.resolve("kept").id, store.open_index(memory=True))


def test_what_is_no_full_disk_is_told_as_it_is(tmp_path: Path) -> None:
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = sqlite3.SQLITE_IOERR_READ
    told = sqlite_edge.as_oserror(error, tmp_path / "index.db")
    assert told is not None and (told.errno, told.filename) == (errno.EIO, str(tmp_path / "index.db"))
    error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    assert sqlite_edge.as_oserror(error, tmp_path / "index.db") is None
