"""Patches, bases and stores that are damaged, lost or full: found, named, mended; no import stops."""

from __future__ import annotations

import hashlib
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from crashing import Boom, armed, full
from imagestore import contents, make, publish
from patching import ONE, TWO, patched

from images import groups, lineage, packstream, patchwork
from images.condemned import condemn
from images.errors import ChunkCorrupt, ChunkMissing, ImageError
from images.store import ImageStore


def damage(path: Path, place: int) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.chmod(0o640)
    path.write_bytes(data)


def a_base(store: ImageStore, number: int = 0) -> tuple[Path, int]:
    """The pack that holds a base of a@2, and a byte in the middle of it."""
    locator = store.source("a@2").locator
    place = locator.bases(patched(store, "a@2")[0])[number]
    frame = locator.frame(place.frame)
    return store.packs / f"{frame.pack}.pack", frame.offset + place.inner + place.length // 2


def test_a_damaged_base_is_found_and_named_with_all_that_needs_it(store: ImageStore) -> None:
    pack, place = a_base(store)
    damage(pack, place)
    with pytest.raises(ChunkCorrupt, match="is damaged in"):
        contents(store, "a@2")
    problems = list(store.verify())
    assert {one.path for one in problems if "chunks are damaged" in one.text} == {str(pack)}
    assert [one for one in problems if "patches of chunks that are damaged" in one.text]
    hurt = {one.text for one in problems if "lost chunks" in one.text}
    assert any(text.startswith("a@1: ") for text in hurt) and any(text.startswith("a@2: ") for text in hurt)
    assert all("import a again from its source" in one.repair for one in problems if "lost" in one.text)
    found, left = list(store.verify(repair=True)), list(store.verify())
    assert {one[:2] for one in found if not one.mended} == {one[:2] for one in left}, "none is told twice"
    publish(store, "a", ONE, "again")
    publish(store, "a", TWO, "again")
    list(store.verify(repair=True))
    assert not list(store.verify())
    assert contents(store, "a@1") == ONE and contents(store, "a@2") == TWO


def test_a_damaged_patch_hurts_nobody_else(store: ImageStore) -> None:
    locator = store.source("a@2").locator
    frame = locator.frame(patched(store, "a@2")[0])
    damage(store.packs / f"{frame.pack}.pack", frame.offset + 20)
    hurt = {one.text for one in store.verify() if "lost chunks" in one.text}
    assert hurt and not any(text.startswith("a@1") for text in hurt)
    list(store.verify(repair=True))
    assert contents(store, "a@1") == ONE
    publish(store, "a", TWO)
    list(store.verify(repair=True))
    assert contents(store, "a@2") == TWO and not list(store.verify())


def test_a_lost_base_pack(store: ImageStore) -> None:
    pack, _ = a_base(store)
    saved = pack.read_bytes()
    pack.unlink()
    with pytest.raises(ChunkMissing, match="image verify"):
        contents(store, "a@2")
    hurt = {one.text for one in store.verify() if "lost chunks" in one.text}
    assert any(text.startswith("a@2: ") for text in hurt)
    pack.write_bytes(saved)
    assert not list(store.verify()) and contents(store, "a@2") == TWO


def test_a_damaged_parent_stops_no_import(tmp_path: Path) -> None:
    store = make(tmp_path)
    version = publish(store, "a", ONE)
    damage(store.manifests / version.id, 200)
    publish(store, "a", TWO)
    assert contents(store, "a@2") == TWO and not patched(store, "a@2")


def test_a_damaged_base_stops_no_import(tmp_path: Path) -> None:
    store = make(tmp_path)
    publish(store, "a", ONE)
    for pack in store.packs.iterdir():
        for place in range(100, pack.stat().st_size // 2, 50_000):
            damage(pack, place)
    publish(store, "a", TWO)
    assert contents(store, "a@2") == TWO


def test_a_locator_with_wrong_bases_is_refused_or_found(store: ImageStore) -> None:
    version = store.resolve("a@2")
    index = store.open_index()
    condemn(store, index, [bytes.fromhex(a_base(store)[0].stem)])
    index.close()
    (store.locators / version.id).unlink()
    with pytest.raises(ImageError, match="has lost chunks"):
        contents(store, "a@2")


def test_a_base_that_comes_back_makes_its_patches_whole(store: ImageStore) -> None:
    """Its patches are kept by a repair, and are offered to nobody until then."""
    damage(*a_base(store))
    list(store.verify(repair=True))
    publish(store, "a", ONE, "again")
    assert not list(store.verify())
    assert contents(store, "a@1") == ONE and contents(store, "a@2") == TWO


def test_patches_of_what_is_lost_are_stored_anew(store: ImageStore) -> None:
    damage(*a_base(store))
    list(store.verify(repair=True))
    publish(store, "b", TWO)
    assert contents(store, "b") == TWO == contents(store, "a@2")
    hurt = [one.text for one in store.verify() if "lost chunks" in one.text]
    assert hurt and all(text.startswith("a@1") for text in hurt)


def full_inside(boom: Boom) -> Callable[..., list[bytes]]:
    def run(*arguments: Any) -> list[bytes]:
        with armed(boom):
            return lineage.patch(*arguments)

    return run


def test_a_full_disk_only_costs_the_patches(tmp_path: Path) -> None:
    """Wherever patching finds it full, the version is stored as a first one is."""
    place = tmp_path / "place"
    publish(make(tmp_path), "a", ONE)
    outcomes = set()
    for at in range(1, 200):
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(tmp_path / "store", place / "store")
        store, boom = make(place), Boom(at, full)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("images.publish.patch", full_inside(boom))
            publish(store, "a", TWO)
        outcomes.add(bool(patched(store, "a@2")))
        assert contents(store, "a@1") == ONE and contents(store, "a@2") == TWO
        assert not list(store.verify())
        if boom.count < at:
            break
    assert outcomes == {True, False}


def test_readers_are_told_of_both_packs(store: ImageStore) -> None:
    pack, place = a_base(store)
    damage(pack, place)
    with pytest.raises(ChunkCorrupt, match=f"a patch of .*{pack.name}"):
        contents(store, "a@2")


def test_what_damage_breaks_off_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither packs with the patches made so far nor threads that go on, though the error is still held."""
    store = make(tmp_path)
    publish(store, "a", ONE)
    monkeypatch.setattr(packstream, "PACK", 1)
    monkeypatch.setattr(groups, "FRAME", 60_000)
    monkeypatch.setattr(patchwork, "RUN", 1)
    own: set[str] = set()

    def spoiled(*arguments: Any) -> list[bytes]:
        own.update(path.name for path in store.packs.iterdir())
        id = hashlib.sha256(TWO["m/9"]).digest()
        for pack in arguments[-1].packs:
            for row in pack.chunks:
                if row.id == id:
                    damage(store.packs / f"{pack.id.hex()}.pack", pack.frames[row.frame].offset + row.inner)
        return lineage.patch(*arguments)

    monkeypatch.setattr("images.publish.patch", spoiled)
    with pytest.raises(ImageError, match="does not match its hash") as caught:
        publish(store, "a", TWO)
    assert not [one.name for one in threading.enumerate() if one.name.startswith("patch")], caught
    assert {path.name for path in store.packs.iterdir()} == own
