"""Patches between versions: found across version numbers, smaller than what they spare, applied on the
node."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterable
from pathlib import Path

import pytest
from imagestore import make, noise, publish
from pushhouse import House

from images import repack
from images.agent.update import patching
from images.agent.update.compare import Compare, Difference
from images.agent.update.patching import SMALL
from images.compress import zstd_frame
from images.errors import BadInput, ImageError
from images.manifest import Chunk, Entry
from images.patchset import Row, rows
from images.push.match import pairs
from images.push.patches import PatchSet, patch_set


def entry(path: str, size: int, id: int) -> Entry:
    return Entry(path.encode(), "file", size=size, chunks=(Chunk(bytes([id]) * 32, size),))


def test_a_moved_module_is_found_by_its_shape() -> None:
    old = [entry("lib/modules/6.1.0-18-amd64/kernel/fs/ext4.ko", 900, 1), entry("usr/bin/x", 900, 2)]
    new = [entry("lib/modules/6.1.0-30-amd64/kernel/fs/ext4.ko", 950, 3), entry("usr/bin/x", 900, 4)]
    found, known = pairs(old, new)
    assert [(a and a.path, b.path) for a, b in found] == [
        (a.path, b.path) for a, b in zip(old, new, strict=True)
    ]
    assert known == {bytes([1]) * 32, bytes([2]) * 32}
    assert pairs(old, old)[0] == [], "what is the same needs no patch"


@pytest.mark.skipif(os.geteuid() != 0, reason="owners need root")
def test_patches_carry_an_update(tmp_path: Path) -> None:
    module, tool = noise(300_000, 1), noise(40_000, 2)
    for name, folder, content in (
        ("one", "lib/modules/6.1-1", (module, tool)),
        ("two", "lib/modules/6.1-2", (edited(module), edited(tool))),
    ):
        for path, data in ((f"{folder}/m.ko", content[0]), ("usr/bin/tool", content[1]), ("etc/x", b"x")):
            (tmp_path / name / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name / path).write_bytes(data)
    house = House(tmp_path, tmp_path / "one", tmp_path / "two")
    made = patch_set(house.store, house.old.id, house.new.id, tmp_path / "patches")
    assert made.files == 2 and made.bytes < made.spared / 10
    assert patch_set(house.store, house.old.id, house.new.id, tmp_path / "patches") == made
    house.line.patches = {made.id: made.path.read_bytes()}
    report = house.push(patches=made.id)
    assert report["patched"] == 2 and report["fetched"] == house.line.sent < 8000
    assert (house.root / "lib/modules/6.1-2/m.ko").read_bytes() == edited(module)


@pytest.mark.skipif(os.geteuid() != 0, reason="owners need root")
def test_a_file_too_large_for_memory_is_patched_in_files(tmp_path: Path) -> None:
    data = noise(SMALL + 100_000, 1)
    big(tmp_path, data)
    house = House(tmp_path, tmp_path / "one", tmp_path / "two")
    made = served(house, tmp_path)
    report = house.push(patches=made.id)
    assert report["patched"] == 1 and report["fetched"] < 40_000 and report["drift"] == 0
    assert (house.root / "etc/big").read_bytes() == edited(data)


@pytest.mark.skipif(os.geteuid() != 0, reason="owners need root")
def test_a_patch_whose_old_file_changed_is_not_believed(tmp_path: Path) -> None:
    """And what it leaves to be fetched comes in one piece, not chunk by chunk with their whole frames."""
    data = noise(3_000_000, 5)
    big(tmp_path, data)
    house = House(tmp_path, tmp_path / "one", tmp_path / "two")
    made = served(house, tmp_path)
    (house.root / "etc/big").write_bytes(noise(3_000_000, 6))
    report = house.push(patches=made.id)
    assert report["patched"] == 0 and len(data) < report["fetched"] < len(data) * 2
    assert (house.root / "etc/big").read_bytes() == edited(data)


@pytest.mark.skipif(os.geteuid() != 0, reason="owners need root")
def test_one_connection_is_asked_by_one_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is fetched instead of a patch comes while the other stream fetches ahead."""
    data, more = noise(2_000_000, 5), noise(9_000_000, 7)
    big(tmp_path, data)
    for part, at in (("a", 0), ("c", 4_000_000)):
        with (tmp_path / f"two/etc/{part}").open("wb") as file:
            file.write(more[at : at + 4_500_000])
            file.truncate(6_000_000)  # it has a hole, so there is no patch for it
    house = House(tmp_path, tmp_path / "one", tmp_path / "two")
    made = served(house, tmp_path)
    (house.root / "etc/big").write_bytes(noise(2_000_000, 6))
    using, both, fetch = threading.Lock(), list[str](), house.line.get_range

    def get_range(path: str, start: int, length: int) -> bytes:
        if path.startswith("/store/patches/"):  # of a connection of their own
            return fetch(path, start, length)
        if not using.acquire(blocking=False):
            both.append(path)
            return fetch(path, start, length)
        try:
            time.sleep(0.2)
            return fetch(path, start, length)
        finally:
            using.release()

    monkeypatch.setattr(house.line, "get_range", get_range)
    assert house.push(patches=made.id)["drift"] == 0 and not both


def test_a_damaged_pack_is_told_by_its_file(tmp_path: Path) -> None:
    store = make(tmp_path)
    old = publish(store, "a", {"tool": noise(40_000, 1)})
    new = publish(store, "a", {"tool": noise(20_000, 1) + noise(20_000, 2)})
    for pack in store.packs.iterdir():
        pack.chmod(0o640)
        data = pack.read_bytes()
        pack.write_bytes(data[:5000] + bytes([data[5000] ^ 1]) + data[5001:])
    with pytest.raises(ImageError, match=r"^a@[12]: /tool is damaged in .*\.pack; run `bootsrv image verify"):
        patch_set(store, old.id, new.id, tmp_path / "patches")


def test_the_index_is_read_row_by_row_and_nothing_else_is_taken_for_one() -> None:
    two = [["a", "", 0, 5], ["b\\udcff", "b", 5, 7, [9, True, 10504, 400]]]

    def read(text: str) -> list[Row]:
        return list(rows(zstd_frame(text.encode())))

    good = json.dumps(two, separators=(",", ":"))
    recipe = repack.Recipe(9, True, 10504, 400)
    assert read(good) == [Row("a", "", 0, 5), Row("b\\udcff", "b", 5, 7, recipe)]
    assert read("[]") == []
    for text in ("", "[", "]", good[:-1], good + "]", good.replace("],[", "][", 1), "[1]", '[["a"]]', "{}"):
        with pytest.raises(BadInput, match="patch set"):
            read(text)


def edited(data: bytes) -> bytes:
    """Small changes all over, so that every chunk differs."""
    made = bytearray(data)
    for place in range(100, len(made), 9000):
        made[place : place + 4] = b"EDIT"
    return bytes(made)


@pytest.mark.skipif(os.geteuid() != 0, reason="owners need root")
def test_an_initramfs_is_patched_inside_and_packed_again(tmp_path: Path) -> None:
    inside = {"one": text(3), "two": edited(text(3))}
    for number, (name, raw) in enumerate(inside.items()):
        (tmp_path / name / "etc").mkdir(parents=True)
        (tmp_path / name / "boot").mkdir()
        packed = b"".join(repack.compress([raw], repack.Recipe(9, True, repack.version(), len(raw))))
        (tmp_path / name / f"boot/initrd.img-6.1.{number}").write_bytes(packed)
    house = House(tmp_path, tmp_path / "one", tmp_path / "two")
    made = patch_set(house.store, house.old.id, house.new.id, tmp_path / "patches")
    assert made.files == 1 and made.bytes < 20_000
    house.line.patches = {made.id: made.path.read_bytes()}
    report = house.push(patches=made.id)
    assert report["patched"] == 1 and report["fetched"] < 20_000 and report["drift"] == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="owners need root")
def test_packing_goes_on_while_the_rest_is_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    house = two_initramfs(tmp_path, 1_000_000)
    made = served(house, tmp_path)
    began: list[bool] = []
    compare = Compare.run

    def run(self: Compare, lines: Iterable[bytes]) -> Difference:
        began.append(any(thread.name.startswith("repack") for thread in threading.enumerate()))
        return compare(self, lines)

    monkeypatch.setattr(Compare, "run", run)
    assert house.push(patches=made.id)["patched"] == 1
    assert began == [True, False], "it begins before the comparison; of the one at the end nothing is left"


def nothing() -> bytes:
    return b"".join(repack.compress([b""], repack.Recipe(3, True, repack.version(), 0)))


@pytest.mark.skipif(os.geteuid() != 0, reason="owners need root")
@pytest.mark.parametrize("instead", [b"", nothing(), "/etc/x"], ids=["empty", "nothing inside", "link"])
def test_an_old_initramfs_that_is_none_costs_only_bytes(tmp_path: Path, instead: bytes | str) -> None:
    house = two_initramfs(tmp_path, 1_000_000)
    made = served(house, tmp_path)
    old = house.root / "boot/initrd.img-6.1.0"
    old.unlink()
    old.write_bytes(instead) if isinstance(instead, bytes) else old.symlink_to(instead)
    report = house.push(patches=made.id)
    assert report["patched"] == 0 and report["made"] == 1 and report["drift"] == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="owners need root")
def test_an_initramfs_that_is_left_alone_is_not_packed(tmp_path: Path) -> None:
    house = two_initramfs(tmp_path, 1_000_000)
    made = served(house, tmp_path)
    (house.root / "etc/bootsrv").mkdir()
    (house.root / "etc/bootsrv/push.exclude").write_text("/boot/initr*\n")
    house.push(patches=made.id)
    assert house.line.sent < made.bytes, "only the list of what there is"


@pytest.mark.skipif(os.geteuid() != 0, reason="owners need root")
def test_a_machine_with_another_library_fetches_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = two_initramfs(tmp_path, 3_000_000)
    made = served(house, tmp_path)
    size = (tmp_path / "two/boot/initrd.img-6.1.1").stat().st_size
    monkeypatch.setattr(patching, "version", lambda: 1)
    report = house.push(patches=made.id)
    assert report["patched"] == 0 and report["drift"] == 0 and report["fetched"] < size * 1.1


@pytest.mark.skipif(os.geteuid() != 0, reason="owners need root")
def test_a_set_that_the_server_has_no_more_is_done_without(tmp_path: Path) -> None:
    house = two_initramfs(tmp_path, 300_000)
    report = house.push(patches="0" * 40)
    assert report["patched"] == 0 and report["drift"] == 0


def big(tmp_path: Path, data: bytes) -> None:
    """Two versions of a tree with one file."""
    for name, content in (("one", data), ("two", edited(data))):
        (tmp_path / name / "etc").mkdir(parents=True)
        (tmp_path / name / "etc/big").write_bytes(content)


def served(house: House, tmp_path: Path) -> PatchSet:
    """The set between the house's versions, which its line gives out."""
    made = patch_set(house.store, house.old.id, house.new.id, tmp_path / "patches")
    house.line.patches = {made.id: made.path.read_bytes()}
    return made


def two_initramfs(tmp_path: Path, size: int) -> House:
    raw = noise(size, 3).hex().encode()
    for number, (name, inside) in enumerate((("one", raw), ("two", edited(raw)))):
        (tmp_path / name / "etc").mkdir(parents=True)
        (tmp_path / name / "boot").mkdir()
        packed = b"".join(repack.compress([inside], repack.Recipe(3, True, repack.version(), len(inside))))
        (tmp_path / name / f"boot/initrd.img-6.1.{number}").write_bytes(packed)
    return House(tmp_path, tmp_path / "one", tmp_path / "two")


def test_another_library_is_not_asked_to_pack() -> None:
    raw = text(1)
    packed = b"".join(repack.compress([raw], repack.Recipe(3, False, repack.version(), len(raw))))
    assert repack.find(packed, raw) == repack.Recipe(3, False, repack.version(), len(raw))
    assert repack.find(packed[:-1] + b"x", raw) is None
    with pytest.raises(ImageError, match="libzstd"):
        list(repack.compress([raw], repack.Recipe(3, False, 1, len(raw))))


def text(seed: int) -> bytes:
    """Something that compresses, and differently at each level."""
    return noise(400_000, seed).hex().encode()
