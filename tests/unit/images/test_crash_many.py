"""Everything that writes to a store, broken at every single write: killed there, out of space there; and bits
flipped all over. Prints how often. The short form of this is test_crash.py and test_damage.py."""

from __future__ import annotations

import errno
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from crashing import Boom, armed, full
from imagestore import contents, make, noise, publish

from images import packstream
from images.errors import ImageError
from images.importing.from_disk import import_disk
from images.store import ImageStore

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3000)]

ONE = {f"f{number}": noise(30_000, number) for number in range(8)}
TWO = {**ONE, "f0": noise(50_000, 100), "f9": b"text " * 9000}
THREE = {"f1": ONE["f1"], "x": noise(90_000, 101)}


def edited(files: dict[str, bytes], word: bytes) -> dict[str, bytes]:
    return {
        path: b"".join(data[at : at + 7000] + word for at in range(0, len(data), 7000))
        for path, data in files.items()
    }


BASE = {f"g{number}": noise(30_000, 200 + number) for number in range(8)}
PATCHED = edited(BASE, b"an edit")
AGAIN = edited(BASE, b"another")


def new_version(store: ImageStore) -> None:
    publish(store, "a", {**THREE, "y": noise(150_000, 102)})


def patched_version(store: ImageStore) -> None:
    publish(store, "b", AGAIN)
    assert contents(store, "b") == AGAIN


def base_removed(store: ImageStore) -> None:
    if len(store.versions("b")) > 1:
        store.remove("b@1")
    report = store.gc(grace=0)
    assert report.left or not store.source("b").locator.patched  # a full disk leaves them for the next time


def disk_image(store: ImageStore) -> None:
    disk = store.root.parent / "disk"
    disk.write_bytes(noise(300_000, 103) + bytes(1 << 20) + noise(5000, 104))
    import_disk(store, "disk", disk)


def remove_and_collect(store: ImageStore) -> None:
    if len(store.versions("a")) > 2:
        store.remove("a@1")
    store.gc(grace=0)


def tags(store: ImageStore) -> None:
    store.tag("a@2", "stable")
    store.tag("a@3", "stable")
    store.untag("a", "stable")


def lost_locators(store: ImageStore) -> None:
    for path in store.locators.iterdir():
        path.unlink()
    assert contents(store, "a@3") == THREE


WORK: dict[str, Callable[[ImageStore], None]] = {
    "new version": new_version, "patched version": patched_version, "disk image": disk_image,
    "remove and gc": remove_and_collect, "patches made plain": base_removed, "tags": tags,
    "lost locators": lost_locators,
}  # fmt: skip


@pytest.fixture
def ready(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a store of three versions in several small packs, and two of which one is patches."""
    monkeypatch.setattr(packstream, "PACK", 60_000)
    monkeypatch.setattr(packstream, "FRAME", 20_000)
    folder = tmp_path / "ready"
    folder.mkdir()
    store = make(folder)
    for files in (ONE, TWO, THREE):
        publish(store, "a", files)
    for files in (BASE, PATCHED):
        publish(store, "b", files)
    assert store.source("b").locator.patched
    return folder


def fresh(ready: Path, place: Path) -> ImageStore:
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(ready, place)
    return ImageStore.open(place / "store")


def sound(store: ImageStore) -> None:
    """No published version is damaged, whatever happened."""
    store = ImageStore.open(store.root)
    assert all("locator is gone" in one.text for one in store.verify()), "only what is made again at need"
    known = {1: ONE, 2: TWO, 3: THREE}
    for version in store.versions("a"):
        if version.number in known:
            assert contents(store, version.ref) == known[version.number]
    assert {2, 3} <= {version.number for version in store.versions("a")}
    known_b = {1: BASE, 2: PATCHED, 3: AGAIN, 4: AGAIN}
    for version in store.versions("b"):
        assert contents(store, version.ref) == known_b[version.number]
    assert 2 in {version.number for version in store.versions("b")}


def count(ready: Path, place: Path, work: Callable[[ImageStore], None], unlinks: bool) -> int:
    counter = Boom(0, None)
    store = fresh(ready, place)
    with armed(counter, unlinks):
        work(store)
    return counter.count


@pytest.mark.parametrize("name", WORK)
def test_killed_at_every_write(name: str, ready: Path, tmp_path: Path) -> None:
    work, place = WORK[name], tmp_path / "place"
    steps = count(ready, place, work, unlinks=True)
    for at in range(1, steps + 1):
        store = fresh(ready, place)
        child = os.fork()
        if not child:
            with armed(Boom(at, lambda: os._exit(9)), unlinks=True):
                work(store)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) in (0, 9)
        sound(store)
        work(ImageStore.open(store.root))  # and the next try succeeds
        store.gc(grace=0)
        sound(store)
        assert not list(store.temp.iterdir()) and not list(store.sessions.iterdir())
    print(f"\n{name}: killed at each of {steps} writes")
    assert steps >= 4


@pytest.mark.parametrize("name", WORK)
def test_disk_full_at_every_write(name: str, ready: Path, tmp_path: Path) -> None:
    work, place = WORK[name], tmp_path / "place"
    steps = count(ready, place, work, unlinks=False)
    for at in range(1, steps + 1):
        store = fresh(ready, place)
        with armed(Boom(at, full)):
            try:
                work(store)
            except OSError as err:
                assert err.errno == errno.ENOSPC
        sound(store)
        work(ImageStore.open(store.root))
        sound(store)
    print(f"\n{name}: out of space at each of {steps} writes")


@pytest.mark.parametrize("seed", range(4))
def test_flips(ready: Path, tmp_path: Path, seed: int) -> None:
    """Anywhere in any file that readers trust: found by verify, and never read as something else."""
    store = fresh(ready, tmp_path / "place")
    rng, wanted = random.Random(seed), {"a@1": ONE, "a@2": TWO, "a@3": THREE, "b@1": BASE, "b@2": PATCHED}
    files = [p for f in (store.packs, store.manifests, store.locators, store.names_dir) for p in f.iterdir()]
    flips = unseen = 0
    for _ in range(1000):
        path = rng.choice(files)
        data = bytearray(path.read_bytes())
        place, bit = rng.randrange(len(data)), rng.randrange(8)
        good = bytes(data)
        data[place] ^= 1 << bit
        path.write_bytes(data)
        problems = list(store.verify())
        for ref, expected in wanted.items():
            try:
                assert contents(store, ref) == expected, f"byte {place} of {path} reached a reader"
            except ImageError as err:
                assert str(err)
        assert all(one.path and one.repair for one in problems)
        unseen += not problems
        flips += 1
        path.write_bytes(good)
    assert not list(store.verify())
    print(f"\n{flips} flips, {unseen} without meaning, none reached a reader")
    assert unseen < flips / 50
