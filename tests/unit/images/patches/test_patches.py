"""What a second version changed is kept as patches of the first one: small, whole, and never without its
base."""

from __future__ import annotations

import json
import random
import shutil
import sqlite3
from pathlib import Path

import pytest
from imagestore import contents, make, noise, publish
from patching import CHANGED, ONE, THREE, TWO, edited, held, patched

from images import packstream
from images.fetch import PackSource
from images.locator import PATCH, Locator
from images.pack import read_trailer
from images.snapshot import snapshot
from images.store import ImageStore


def test_a_second_version_takes_little(tmp_path: Path) -> None:
    store = make(tmp_path)
    publish(store, "a", ONE)
    first = held(store)
    assert json.loads((store.root / "format.json").read_bytes()) == {"format": 1}
    publish(store, "a", TWO)
    assert held(store) - first < len(TWO["new"]) + CHANGED / 50
    assert contents(store, "a@1") == ONE and contents(store, "a@2") == TWO
    assert patched(store, "a@2") and not patched(store, "a@1")
    assert not list(store.verify()) and not list(store.condemned.iterdir())
    assert json.loads((store.root / "format.json").read_bytes()) == {"format": 2}


def test_what_is_not_like_the_old_stays_plain(tmp_path: Path) -> None:
    store = make(tmp_path)
    publish(store, "a", {"x": noise(300_000, 1)})
    publish(store, "a", {"x": noise(300_000, 2)})
    assert not patched(store, "a@2") and contents(store, "a@2") == {"x": noise(300_000, 2)}


def test_another_image_has_no_parent(store: ImageStore) -> None:
    publish(store, "b", {path: edited(data, 9) for path, data in ONE.items()})
    assert not patched(store, "b")


def test_a_patch_is_never_of_a_patch(store: ImageStore) -> None:
    before = held(store)
    publish(store, "a", THREE)
    assert held(store) - before < 60_000
    assert contents(store, "a@3") == THREE and patched(store, "a@3")
    index = store.open_index()
    try:
        for _, _, bases in list(index.patches()):
            for base in bases:
                where = index.find(base)
                assert where is not None and where.codec != PATCH
    finally:
        index.close()


def test_the_index_is_only_a_cache(store: ImageStore) -> None:
    (store.root / "index.db").unlink()
    for path in store.locators.iterdir():
        path.unlink()
    assert contents(store, "a@1") == ONE
    assert contents(store, "a@2") == TWO and patched(store, "a@2")
    assert not list(store.verify())
    with sqlite3.connect(store.root / "index.db") as db:
        db.execute("DELETE FROM bases")
    db.close()
    assert [one.repair for one in store.verify() if one.path.endswith("index.db")]
    assert not list(store.verify()) and contents(store, "a@2") == TWO


def test_a_snapshot_has_the_bases(store: ImageStore, tmp_path: Path) -> None:
    with snapshot(store) as place:
        shutil.copytree(place, tmp_path / "copy")
    other = ImageStore.open(tmp_path / "copy", create=False)
    assert contents(other, "a@2") == TWO


def test_small_memory_reads_the_same(store: ImageStore, monkeypatch: pytest.MonkeyPatch) -> None:
    locator = Locator.parse(store.locator(store.resolve("a@2").id))
    ids = [chunk.id for chunk in store.manifest("a@2").chunks()]
    whole = list(store.source("a@2").stream(ids))
    for gap, window, cache in ((0, 1, 1), (0, 100_000, 600_000), (1 << 20, 1 << 20, 1 << 20)):
        assert list(PackSource(locator, store.read_range, gap, window, cache).stream(ids)) == whole
        rng = random.Random(window)
        some = [rng.choice(ids) for _ in range(60)]
        expected = [whole[ids.index(id)] for id in some]
        assert list(PackSource(locator, store.read_range, gap, window, cache).stream(some)) == expected


def test_packs_of_patches_are_read_by_their_form(store: ImageStore, tmp_path: Path) -> None:
    forms = {path.stem: read_trailer(path) for path in store.packs.iterdir()}
    with_patches = [one for one in forms.values() if one.bases]
    assert with_patches
    for one in with_patches:
        assert set(one.bases) == {n for n, row in enumerate(one.frames) if row.codec == PATCH}
        assert all(sum(row.raw for row in one.frames if row.codec == PATCH) for _ in one.bases)
    assert max(row.raw for one in with_patches for row in one.frames) <= packstream.FRAME


def test_a_store_of_an_older_program_is_used_as_it_is(tmp_path: Path) -> None:
    store = make(tmp_path)
    publish(store, "a", ONE)
    with sqlite3.connect(store.root / "index.db") as db:
        db.execute("DROP TABLE bases")
        db.execute("PRAGMA user_version = 1")
    db.close()
    assert contents(store, "a@1") == ONE and not list(store.verify())
    publish(store, "a", TWO)
    assert contents(store, "a@1") == ONE and contents(store, "a@2") == TWO
    assert patched(store, "a@2") and not list(store.verify())
