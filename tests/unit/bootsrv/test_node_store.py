"""Nodes get versions without patches: copies made when one first asks, or the store itself."""

from __future__ import annotations

import logging
import os
import random
import shutil
import time
from pathlib import Path

import pytest
from crashing import Boom, armed, full
from imagestore import make, noise, publish

from bootsrv.nodestore import AGAIN, CHECKED, PATIENCE, NodeStore
from images import lineage, packstream, plain
from images.fetch import PackSource
from images.locator import Locator
from images.store import ImageStore
from pxe.http.ports import Wait


def edited(data: bytes, seed: int) -> bytes:
    made, rng = bytearray(data), random.Random(seed)
    for place in range(0, len(data), 5000):
        made[place : place + 4] = rng.randbytes(4)
    return bytes(made)


ONE = {f"f{n}": noise(40_000, n) for n in range(20)} | {"big": noise(900_000, 50), "same": noise(30_000, 51)}
TWO = {path: data if path == "same" else edited(data, 1) for path, data in ONE.items()}


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def store(tmp_path: Path) -> ImageStore:
    made = make(tmp_path)
    publish(made, "a", ONE)
    publish(made, "a", TWO)
    return made


def waited(nodes: NodeStore, version: str) -> Path:
    """What a node gets in the end."""
    until = time.monotonic() + 60
    while isinstance(found := nodes.locator(version), Wait):
        assert time.monotonic() < until
        time.sleep(0.05)
    return found


def fetched(
    nodes: NodeStore, store: ImageStore, ref: str, data: Path
) -> tuple[dict[str, bytes], int]:
    """A whole version as a node fetches it, and how many bytes of packs that took."""
    version = store.resolve(ref).id

    def get(pack: str, start: int, length: int) -> bytes:
        path = nodes.pack(version, pack)
        assert path is not None, "that is refused"
        return path.read_bytes()[start : start + length]

    locator = Locator.parse(data.read_bytes())
    source, manifest = PackSource(locator, get, gap=0), store.manifest(ref)
    stream = source.stream(chunk.id for chunk in manifest.chunks())
    whole = (entry for entry in manifest.entries() if entry.chunks)
    files = {entry.path.decode(): b"".join(next(stream) for _ in entry.chunks) for entry in whole}
    return files, source.fetched


def test_a_version_without_patches_is_the_stores_own(store: ImageStore, tmp_path: Path) -> None:
    nodes, version = NodeStore(lambda: store, tmp_path / "plain"), store.resolve("a@1").id
    assert nodes.locator(version) == store.locators / version
    assert fetched(nodes, store, "a@1", store.locators / version)[0] == ONE
    assert not (tmp_path / "plain").exists()


def test_a_new_machine_fetches_no_more_than_without_patches(
    store: ImageStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nodes, version = NodeStore(lambda: store, tmp_path / "plain"), store.resolve("a@2").id
    assert isinstance(nodes.locator(version), Wait)
    made = waited(nodes, version)
    assert not Locator.parse(made.read_bytes()).patched
    files, bytes_ = fetched(nodes, store, "a@2", made)
    assert files == TWO
    with monkeypatch.context() as patch:
        patch.setattr(lineage, "LEAST", 1 << 40)
        other = make(tmp_path / "other")
        publish(other, "a", ONE)
        publish(other, "a", TWO)
    own = NodeStore(lambda: other, tmp_path / "none")
    files, before = fetched(own, other, "a@2", waited(own, other.resolve("a@2").id))
    assert files == TWO and bytes_ <= before * 1.01
    again = NodeStore(lambda: store, tmp_path / "plain")  # another start of the service
    assert waited(again, version) == made
    assert not list((tmp_path / "plain").rglob("*.tmp"))


def test_only_packs_of_the_version(store: ImageStore, tmp_path: Path) -> None:
    nodes = NodeStore(lambda: store, tmp_path / "plain")
    publish(store, "secret", {"shadow": noise(100_000, 99)})
    secret = Locator.parse(store.locator(store.resolve("secret").id)).packs
    version = store.resolve("a@2").id
    waited(nodes, version)
    for pack in (*secret, "0" * 64):
        assert nodes.pack(version, pack) is None
    copy = next((tmp_path / "plain" / version).glob("*.pack")).stem
    assert nodes.pack(version, copy) and nodes.pack(store.resolve("a@1").id, copy) is None


def test_where_copies_fail_nodes_resolve_patches(
    store: ImageStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clock, version = Clock(), store.resolve("a@2").id
    (tmp_path / "plain").write_bytes(b"in the way")
    nodes = NodeStore(lambda: store, tmp_path / "plain", clock)
    with caplog.at_level(logging.ERROR):
        found = waited(nodes, version)
    assert found == store.locators / version and "copies for nodes cannot be made" in caplog.text
    assert fetched(nodes, store, "a@2", found)[0] == TWO
    (tmp_path / "plain").unlink()
    assert nodes.locator(version) == store.locators / version, "not tried again at once"
    clock.now = AGAIN + 1
    assert waited(nodes, version).parent == tmp_path / "plain" / version


def test_nobody_waits_for_ever(store: ImageStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, version = Clock(), store.resolve("a@2").id
    nodes = NodeStore(lambda: store, tmp_path / "plain", clock)
    monkeypatch.setattr(NodeStore, "_begun", lambda self, version: Slow())
    assert isinstance(nodes.locator(version), Wait)
    clock.now = PATIENCE + 1
    assert nodes.locator(version) == store.locators / version


class Slow:
    def poll(self) -> None:
        return None


def test_what_gc_moves_is_found_again(store: ImageStore, tmp_path: Path) -> None:
    nodes, version = NodeStore(lambda: store, tmp_path / "plain"), store.resolve("a@2").id
    held = set(Locator.parse(waited(nodes, version).read_bytes()).packs)
    store.remove("a@1")
    store.gc(grace=0)
    second = waited(nodes, version)
    assert fetched(nodes, store, "a@2", second)[0] == TWO
    copies = {path.stem for path in (tmp_path / "plain" / version).iterdir()}
    assert held & copies and all(nodes.pack(version, pack) for pack in held & copies), "a node is at it"


def damage(path: Path, place: int) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)


def packs_in(home: Path) -> list[Path]:
    return sorted(home.glob("*.pack"))


@pytest.mark.parametrize("place", [-60, 2000])
def test_damaged_copies_are_made_again(store: ImageStore, tmp_path: Path, place: int) -> None:
    clock, version = Clock(), store.resolve("a@2").id
    nodes, home = NodeStore(lambda: store, tmp_path / "plain", clock), tmp_path / "plain" / version
    waited(nodes, version)
    before = packs_in(home)
    damage(before[0], place)
    clock.now = CHECKED + 1
    assert fetched(nodes, store, "a@2", waited(nodes, version))[0] == TWO
    assert before[0] not in packs_in(home), "the damaged one is gone"
    damage(waited(nodes, version), 60)
    clock.now += CHECKED + 1
    assert fetched(nodes, store, "a@2", waited(nodes, version))[0] == TWO


def test_copies_that_somebody_removed_are_made_again(store: ImageStore, tmp_path: Path) -> None:
    nodes, version = NodeStore(lambda: store, tmp_path / "plain"), store.resolve("a@2").id
    waited(nodes, version)
    shutil.rmtree(tmp_path / "plain" / version)
    assert fetched(nodes, store, "a@2", waited(nodes, version))[0] == TWO


def test_unused_copies_go_and_used_ones_stay(store: ImageStore, tmp_path: Path) -> None:
    folder, version, clock = tmp_path / "plain", store.resolve("a@2").id, Clock()
    nodes = NodeStore(lambda: store, folder, clock)
    made = waited(nodes, version)
    assert fetched(nodes, store, "a@2", made)[0] == TWO
    unused = folder / ("0" * 64)
    unused.mkdir()
    for home in (unused, folder / version):
        os.utime(home, (1, 1))
    clock.now = 4000
    nodes.pack(version, packs_in(folder / version)[0].stem)  # a machine is still at it
    assert nodes.locator(store.resolve("a@1").id) == store.locators / store.resolve("a@1").id
    assert not unused.exists() and made.exists()
    plain.tidy(folder, time.time() + plain.UNUSED + 1)
    assert not list(folder.iterdir())


def test_nothing_is_made_twice(store: ImageStore, tmp_path: Path) -> None:
    folder, version = tmp_path / "plain", store.resolve("a@2").id
    plain.make(store, version, folder)
    made = {path: path.stat().st_mtime_ns for path in (folder / version).iterdir()}
    plain.make(store, version, folder)
    assert {path: path.stat().st_mtime_ns for path in (folder / version).iterdir()} == made


def test_the_last_of_the_room_is_not_taken(
    store: ImageStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, version = tmp_path / "plain", store.resolve("a@2").id
    free = os.statvfs(tmp_path).f_bavail * os.statvfs(tmp_path).f_frsize
    with monkeypatch.context() as patch:
        patch.setattr(plain, "RESERVE", free)
        patch.setattr(plain, "SHARE", 1.0)
        with pytest.raises(OSError, match="has not to spare"):
            plain.make(store, version, folder)
    assert not list(folder.iterdir())
    with monkeypatch.context() as patch, armed(Boom(9, full)), pytest.raises(OSError, match="No space"):
        patch.setattr(packstream, "PACK", 100_000)
        plain.make(store, version, folder)
    assert not list(folder.iterdir()), "what was made so far is given back"
    plain.make(store, version, folder)
    assert packs_in(folder / version)
