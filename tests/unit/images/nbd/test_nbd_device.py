"""The device: damaged chunks are never served, a good copy is found, gc may move what it likes, the cache
keeps its limit, and a boot's trace is brought ahead."""

from __future__ import annotations

import os
import random
import re
import struct
from pathlib import Path

import pytest
from imagestore import make, noise, publish

from images.errors import BadInput, ChunkCorrupt, ImageError
from images.nbd import building, cache, trace, volume
from images.nbd.cache import SEGMENT, Cache
from images.nbd.device import Device
from images.nbd.exports import Exports
from images.nbd.trace import Recording
from images.store import ImageStore

FILES = {f"f{n:02}": noise(90_000 + n, n) for n in range(30)}


def opened(store: ImageStore, root: Path, ref: str, limit: int = 1 << 30) -> tuple[Exports, Device]:
    exports = Exports(store, root, limit)
    exports.prepare()
    return exports, exports.device(ref)


def read(device: Device, start: int, end: int) -> bytes:
    while (block := (found := device.locate(start, end - start))[0]) is not None:
        device.bring(block, end)
    return b"".join(os.pread(part.segment.fd, part.length, part.start) for part in found[1])


def flip(path: Path, at: int) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        old = file.read(1)
        file.seek(at)
        file.write(bytes([old[0] ^ 1]))


def frames(store: ImageStore, ref: str) -> list[tuple[Path, int, int]]:
    locator = store.source(ref).locator
    rows = [locator.frame(number) for number in range(locator.frames)]
    return [(store.packs / f"{row.pack}.pack", row.offset, row.stored) for row in rows]


def test_a_damaged_chunk_is_named_and_never_served(tmp_path: Path) -> None:
    store = make(tmp_path)
    publish(store, "a", FILES)
    intact = opened(store, tmp_path / "good", "a@1")[1]
    good = read(intact, 0, intact.size)
    path, offset, stored = frames(store, "a@1")[0]
    flip(path, offset + stored // 2)
    _, device = opened(store, tmp_path / "bad", "a@1")
    refused, served = 0, bytearray()
    for block in range(0, device.size, 4096):
        try:
            served += read(device, block, block + 4096)
        except ChunkCorrupt as error:
            assert re.match(r"a@1: /\S+( \(and .*\))? is damaged; run `bootsrv image verify", str(error))
            refused += 1
            served += good[block : block + 4096]
    assert refused and bytes(served) == good
    with pytest.raises(ChunkCorrupt):  # nor later
        read(device, 0, device.size)


def test_another_copy_takes_its_place(tmp_path: Path) -> None:
    store, other = make(tmp_path), make(tmp_path / "other")
    publish(store, "a", FILES)
    publish(other, "a", FILES)
    good = read(opened(store, tmp_path / "good", "a@1")[1], 0, 1 << 20)
    for path, offset, stored in frames(store, "a@1"):
        flip(path, offset + stored // 2)
    for pack in other.packs.iterdir():
        (store.packs / pack.name).write_bytes(pack.read_bytes())
    assert read(opened(store, tmp_path / "bad", "a@1")[1], 0, 1 << 20) == good


def test_gc_may_move_chunks_under_it(tmp_path: Path) -> None:
    store = make(tmp_path)
    publish(store, "a", FILES)
    publish(store, "b", {name: data for name, data in FILES.items() if name < "f07"})
    wanted = read(opened(store, tmp_path / "good", "b@1")[1], 0, 400_000)
    _, device = opened(store, tmp_path / "nbd", "b@1")
    before = sorted(path.name for path in store.packs.iterdir())
    store.remove("a@1")
    store.gc(grace=0.0)
    assert sorted(path.name for path in store.packs.iterdir()) != before
    assert read(device, 0, 400_000) == wanted


def test_the_same_version_is_the_same_device(tmp_path: Path) -> None:
    store = make(tmp_path)
    id = publish(store, "a", FILES).id
    for name in ("one", "two"):
        building.build(store, id, tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    flip(tmp_path / "one", 5000)
    with pytest.raises(BadInput, match="damaged"):
        volume.load(tmp_path / "one", id)
    (tmp_path / f"{id}.volume").write_bytes((tmp_path / "one").read_bytes())
    assert building.opened(store, id, tmp_path).size > 2_000_000  # made again


def test_nothing_is_left_of_a_version_that_is_gone(tmp_path: Path) -> None:
    store = make(tmp_path)
    publish(store, "a", FILES)
    publish(store, "b", {"one": noise(5000, 9)})
    exports, device = opened(store, tmp_path / "nbd", "a@1")
    read(device, 0, device.size)
    exports.device("b@1")
    store.remove("a@1")
    exports.tidy()  # somebody has it open
    assert len(exports.cache.used()) == 1
    later = Exports(store, tmp_path / "nbd", 1 << 30)
    later.tidy()
    assert not later.cache.used()
    left = {path.name.partition(".")[0] for path in (tmp_path / "nbd/volumes").iterdir()}
    assert left == {store.resolve("b").id}


def test_what_cannot_be_exported_is_said(tmp_path: Path) -> None:
    store = make(tmp_path)
    version = publish(store, "a", FILES)
    (store.manifests / version.id).unlink()
    with pytest.raises(ImageError, match="cannot be exported: a@1: its manifest"):
        opened(store, tmp_path / "nbd", "a@1")


class TestCache:
    def test_the_least_used_goes_first_and_who_has_it_open_reads_on(self, tmp_path: Path) -> None:
        shelf = Cache(tmp_path, 3 << 20)
        shelf.prepare()
        segments = [shelf.segment("a" * 64, number) for number in range(4)]
        for number, segment in enumerate(segments):
            os.pwrite(segment.fd, noise(1 << 20, number), 0)
            segment.mark(0, 256)
            segment.use(100.0 + (number + 2) % 4)
        shelf.trim()
        assert [segment.gone for segment in segments] == [False, False, True, True]
        assert os.pread(segments[2].fd, 1 << 20, 0) == noise(1 << 20, 2)
        fresh = shelf.segment("a" * 64, 2)
        assert not fresh.gone and fresh.marks.find(b"\0", 0, 1) == 0
        assert sum(shelf.used().values()) <= 3 << 20

    def test_another_boots_files_are_not_believed(self, tmp_path: Path) -> None:
        shelf = Cache(tmp_path, 1 << 30)
        shelf.prepare()
        shelf.segment("a" * 64, 0).mark(0, 1)
        shelf.prepare()
        assert shelf.segment("a" * 64, 0).marks[0] == 1  # only we were started again
        (tmp_path / "boot").write_bytes(b"another\n")
        shelf.prepare()
        assert shelf.segment("a" * 64, 0).marks[0] == 0

    def test_readers_stay_right_while_it_is_trimmed(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store = make(tmp_path)
        publish(store, "a", FILES)
        exports, device = opened(store, tmp_path / "nbd", "a@1", limit=1 << 20)
        monkeypatch.setattr("images.nbd.device._LOOK", 100_000)
        good = read(opened(store, tmp_path / "good", "a@1")[1], 0, device.size)
        chance = random.Random(1)
        for _ in range(200):
            start = chance.randrange(device.size)
            end = min(start + chance.choice([1, 5000, 100_000]), device.size)
            assert read(device, start, end) == good[start:end]
            if chance.random() < 0.2:
                exports.cache.trim()
                device.tick()


class TestTrace:
    def test_a_boot_is_recorded_and_brought_ahead(self, tmp_path: Path) -> None:
        store = make(tmp_path)
        publish(store, "a", FILES)
        _, device = opened(store, tmp_path / "nbd", "a@1")
        recording, order = Recording(), list(range(40))
        random.Random(2).shuffle(order)
        for stretch in order:
            recording.note(stretch << 16, 4096)
            recording.note(stretch << 16, 4096)
        assert recording.save(tmp_path / "a.trace")
        assert trace.load(tmp_path / "a.trace") == order
        assert trace.ahead(device, order, lambda: False) > 0
        assert all(device.locate(stretch << 16, min(1 << 16, device.size - (stretch << 16)))[0] is None
                   for stretch in order)  # fmt: skip
        assert trace.ahead(device, order, lambda: False) == 0

    def test_no_boot_no_trace_and_a_damaged_one_is_none(self, tmp_path: Path) -> None:
        recording = Recording()
        recording.note(0, 1 << 20)
        assert not recording.save(tmp_path / "a.trace")
        assert trace.load(tmp_path / "a.trace") == []
        (tmp_path / "a.trace").write_bytes(b"BSTRACE1abc")
        assert trace.load(tmp_path / "a.trace") == []

    def test_it_ends(self) -> None:
        now = [0.0]
        recording = Recording(lambda: now[0])
        assert not recording.over
        now[0] = trace.SECONDS + 1
        assert recording.over


def test_the_limits_are_sane() -> None:
    assert cache.SEGMENT == 1 << cache.SHIFT and SEGMENT % cache.BLOCK == 0
    assert struct.calcsize("<8s32s32sQQI") == volume._HEAD.size


def test_patches_are_the_same_device(tmp_path: Path) -> None:
    store = make(tmp_path)
    publish(store, "a", FILES)
    edited = {
        name: b"".join(data[at : at + 9000] + b"an edit" for at in range(0, len(data), 9000))
        for name, data in FILES.items()
    }
    publish(store, "a", edited)
    assert store.source("a@2").locator.patched
    _, half = opened(store, tmp_path / "half", "a@2")
    start = read(half, 0, half.size // 2)
    _, device = opened(store, tmp_path / "patches", "a@2")
    good = read(device, 0, device.size)
    assert good.startswith(start) and b"an edit" in good
    store.remove("a@1")
    store.gc(grace=0.0)
    assert not store.source("a@2").locator.patched
    assert read(half, 0, half.size) == good, "the patches went while it was being read"
    assert read(opened(store, tmp_path / "plain", "a@2")[1], 0, device.size) == good


def test_a_damaged_base_is_never_served(tmp_path: Path) -> None:
    store = make(tmp_path)
    publish(store, "a", FILES)
    publish(store, "a", {name: data[:-5] + b"other" for name, data in FILES.items()})
    _, device = opened(store, tmp_path / "good", "a@2")
    good = read(device, 0, device.size)
    for path, offset, stored in frames(store, "a@1"):
        flip(path, offset + stored // 2)
    _, device = opened(store, tmp_path / "bad", "a@2")
    refused, served = 0, bytearray()
    for block in range(0, device.size, 4096):
        try:
            served += read(device, block, block + 4096)
        except ChunkCorrupt as error:
            assert "image verify --repair" in str(error)
            refused += 1
            served += good[block : block + 4096]
    assert refused and bytes(served) == good
