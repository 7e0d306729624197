"""Nodes get versions without patches: copies made when one first asks, or the store itself."""

from __future__ import annotations

import logging
import os
import random
import time
from pathlib import Path

import pytest
from imagestore import make, noise, publish

from bootsrv.nodestore import AGAIN, PATIENCE, NodeStore
from images import lineage, plain
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


def waited(nodes: NodeStore, version: str) -> Path | bytes:
    """What a node gets in the end."""
    until = time.monotonic() + 60
    while isinstance(found := nodes.locator(version), Wait):
        assert time.monotonic() < until
        time.sleep(0.05)
    assert found is not None
    return found


def fetched(
    nodes: NodeStore, store: ImageStore, ref: str, data: Path | bytes
) -> tuple[dict[str, bytes], int]:
    """A whole version as a node fetches it, and how many bytes of packs that took."""
    version = store.resolve(ref).id

    def get(pack: str, start: int, length: int) -> bytes:
        path = nodes.pack(version, pack)
        assert path is not None, "that is refused"
        return path.read_bytes()[start : start + length]

    locator = Locator.parse(data if isinstance(data, bytes) else data.read_bytes())
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
    assert isinstance(made, bytes) and not Locator.parse(made).patched
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
    assert again.locator(version) == made
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
    assert isinstance(waited(nodes, version), bytes)


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
    first = waited(nodes, version)
    held = set(Locator.parse(first).packs) if isinstance(first, bytes) else set()
    store.remove("a@1")
    store.gc(grace=0)
    second = waited(nodes, version)
    assert fetched(nodes, store, "a@2", second)[0] == TWO
    copies = {path.stem for path in (tmp_path / "plain" / version).iterdir()}
    assert held & copies and all(nodes.pack(version, pack) for pack in held & copies), "a node is at it"


def test_copies_are_checked_and_unused_ones_go(store: ImageStore, tmp_path: Path) -> None:
    folder, version = tmp_path / "plain", store.resolve("a@2").id
    old = folder / ("0" * 64)
    old.mkdir(parents=True)
    os.utime(old, (1, 1))
    plain.make(store, version, folder)
    assert not old.exists()
    locator = Locator.parse(store.locator(version))
    made = plain.merged(locator, folder)
    plain.make(store, version, folder)
    assert plain.merged(locator, folder) == made, "nothing is made twice"
    pack = next((folder / version).glob("*.pack"))
    data = bytearray(pack.read_bytes())
    data[-60] ^= 1
    pack.write_bytes(data)
    assert plain.merged(locator, folder) is None, "damaged: made again"
    plain.make(store, version, folder)
    assert plain.merged(locator, folder) is not None
