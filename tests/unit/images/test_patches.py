"""What a second version changed is kept as patches of the first one: small, whole, and never without its
base."""

from __future__ import annotations

import json
import random
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from crashing import Boom, armed, full
from imagestore import contents, make, noise, publish

from images import condemned, groups, lineage, packstream
from images.condemned import condemn
from images.errors import ChunkCorrupt, ChunkMissing, ImageError
from images.fetch import PackSource
from images.locator import PATCH, Locator
from images.manifest import Entry
from images.pack import read_trailer
from images.snapshot import snapshot
from images.store import ImageStore


def edited(data: bytes, seed: int, every: int = 6000) -> bytes:
    """The same with a few bytes changed here and there, so that every chunk is another one."""
    made, rng = bytearray(data), random.Random(seed)
    for place in range(rng.randrange(100), len(data), every):
        made[place : place + 4] = rng.randbytes(4)
    return bytes(made)


BIG, SMALL = noise(1_500_000, 1), {f"m/{n}": noise(20_000 + n, 10 + n) for n in range(12)}
ONE = {"big": BIG, "same": noise(70_000, 2), **SMALL, "lib/x-1.0/mod": noise(50_000, 3)}
TWO = {
    **{path: edited(data, 5) for path, data in ONE.items() if path not in ("same", "lib/x-1.0/mod")},
    "same": ONE["same"],
    "lib/x-2.0/mod": edited(ONE["lib/x-1.0/mod"], 6),
    "new": noise(90_000, 4),
}
THREE = {**TWO, "big": edited(TWO["big"], 7), "m/3": edited(TWO["m/3"], 8)}
CHANGED = sum(len(data) for path, data in TWO.items() if path not in ("same", "new"))


def held(store: ImageStore) -> int:
    return sum(path.stat().st_size for path in store.packs.iterdir())


def patched(store: ImageStore, ref: str) -> list[int]:
    """The patches that a version is read through."""
    locator = store.source(ref).locator
    return [number for number in range(locator.frames) if locator.frame(number).codec == PATCH]


@pytest.fixture
def store(tmp_path: Path) -> ImageStore:
    made = make(tmp_path)
    publish(made, "a", ONE)
    publish(made, "a", TWO)
    return made


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


@pytest.mark.parametrize("old", [["a@1"], ["a@1", "a@2"], ["a@2"]])
def test_gc_never_takes_a_base(store: ImageStore, old: list[str]) -> None:
    publish(store, "a", THREE)
    wanted = {"a@1": ONE, "a@2": TWO, "a@3": THREE}
    for ref in old:
        store.remove(ref)
        del wanted[ref]
    for _ in range(3):
        store.gc(grace=0)
        assert not list(store.verify())
        assert {ref: contents(store, ref) for ref in wanted} == wanted


def test_patches_of_what_is_gone_become_plain_where_that_is_less(store: ImageStore) -> None:
    store.remove("a@1")
    report = store.gc(grace=0)
    assert report.rewritten and not patched(store, "a@2") and contents(store, "a@2") == TWO
    assert held(store) < sum(map(len, TWO.values())) * 1.05
    assert not list(store.verify())


def test_patches_stay_while_many_stand_on_a_base(store: ImageStore) -> None:
    for seed in range(4):
        publish(store, "a", {path: edited(data, 20 + seed) for path, data in ONE.items()})
    store.remove("a@1")
    before = held(store)
    store.gc(grace=0)
    assert held(store) <= before and patched(store, "a@6")
    for number in range(4):
        files = {path: edited(data, 20 + number) for path, data in ONE.items()}
        assert contents(store, f"a@{number + 3}") == files
    assert not list(store.verify())


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
    assert all("import the image again" in one.repair for one in problems if "lost" in one.text)
    list(store.verify(repair=True))
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


def test_while_others_write_replaced_packs_stay(tmp_path: Path) -> None:
    store = make(tmp_path)
    publish(store, "a", ONE)
    with store.writer() as other:
        publish(store, "a", TWO)
        assert list(store.condemned.iterdir())
        assert contents(store, "a@2") == TWO
        del other
    store.gc(grace=0)
    assert not list(store.condemned.iterdir()) and contents(store, "a@2") == TWO and patched(store, "a@2")
    assert not list(store.verify())


def test_another_writer_counts_on_what_becomes_a_patch(tmp_path: Path) -> None:
    """The other one found its chunks in the packs that were replaced, and publishes after their writer, and
    after the version they start from was removed and collected."""
    store = make(tmp_path)
    publish(store, "a", ONE)
    with store.writer() as other:
        publish(store, "a", TWO)
        other.tree.add(Entry(b"", "dir", mode=0o755))
        chunks = other.put_whole(TWO["big"])
        other.tree.add(Entry(b"big", "file", size=len(BIG), chunks=chunks))
        store.remove("a@1")
        store.remove("a@2")
        store.gc(grace=0)
        other.publish("b")
    for _ in range(2):
        store.gc(grace=0)
        assert contents(store, "b") == {"big": TWO["big"]} and not list(store.verify())


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


def test_a_snapshot_has_the_bases(store: ImageStore, tmp_path: Path) -> None:
    with snapshot(store) as place:
        shutil.copytree(place, tmp_path / "copy")
    other = ImageStore.open(tmp_path / "copy", create=False)
    assert contents(other, "a@2") == TWO


def test_a_locator_with_wrong_bases_is_refused_or_found(store: ImageStore) -> None:
    version = store.resolve("a@2")
    index = store.open_index()
    condemn(store, index, [bytes.fromhex(a_base(store)[0].stem)])
    index.close()
    (store.locators / version.id).unlink()
    with pytest.raises(ImageError, match="in no pack"):
        contents(store, "a@2")


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


def test_patches_that_nobody_uses_go_with_their_bases(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Most of a pack with patches is used still, but what the rest of it starts from is not."""
    monkeypatch.setattr(groups, "FRAME", 60_000)
    monkeypatch.setattr(packstream, "PACK", 150_000)
    store = make(tmp_path)
    publish(store, "a", ONE)
    publish(store, "a", TWO)
    third = {path: noise(20_000, 200 + at) for at, path in enumerate(SMALL)}
    wanted = [{**TWO, **third, "new": noise(10, seed)} for seed in range(4)]
    for files in wanted:
        publish(store, "a", files)
    for seed in range(4):  # so many stand on the first that patches stay
        publish(store, "a", {**TWO, **third, "big": edited(BIG, 30 + seed)})
    store.remove("a@1")
    store.remove("a@2")
    for _ in range(2):
        store.gc(grace=0)
        assert not list(store.verify()) and patched(store, "a@3")
        assert [contents(store, f"a@{number}") for number in range(3, 7)] == wanted
    publish(store, "b", {"m/4": TWO["m/4"], "old": ONE["m/4"]})
    assert contents(store, "b") == {"m/4": TWO["m/4"], "old": ONE["m/4"]}


def test_what_others_start_from_stays_plain(tmp_path: Path) -> None:
    """A chunk is new to two writers at once; the first publishes it, and a child of that starts from it."""
    store, shared = make(tmp_path), noise(400_000, 7)
    publish(store, "y", {"f": edited(shared, 1)})
    with store.writer() as slow:
        chunks = slow.put_whole(shared)
        slow.keep()
        publish(store, "p", {"f": shared})
        publish(store, "p", {"f": edited(shared, 2)})
        assert patched(store, "p@2")
        slow.tree.add(Entry(b"", "dir", mode=0o755))
        slow.tree.add(Entry(b"f", "file", size=len(shared), chunks=chunks))
        slow.publish("y")
    wanted = {"y@1": edited(shared, 1), "y@2": shared, "p@1": shared, "p@2": edited(shared, 2)}
    for _ in range(2):
        for path in store.locators.iterdir():
            path.unlink()
        assert {ref: contents(store, ref)["f"] for ref in wanted} == wanted
        store.gc(grace=0)
        assert not list(store.verify())


def test_a_base_that_comes_back_makes_its_patches_whole(store: ImageStore) -> None:
    """Its patches are kept by a repair, and are offered to nobody until then."""
    damage(*a_base(store))
    list(store.verify(repair=True))
    publish(store, "a", ONE, "again")
    list(store.verify(repair=True))
    assert not list(store.verify())
    assert contents(store, "a@1") == ONE and contents(store, "a@2") == TWO


def test_patches_of_what_is_lost_are_stored_anew(store: ImageStore) -> None:
    damage(*a_base(store))
    list(store.verify(repair=True))
    publish(store, "b", TWO)
    assert contents(store, "b") == TWO == contents(store, "a@2")
    hurt = [one.text for one in store.verify() if "lost chunks" in one.text]
    assert hurt and all(text.startswith("a@1") for text in hurt)


def test_another_process_may_see_the_packs_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = make(tmp_path)
    publish(store, "a", ONE)
    mark = condemned.mark

    def seen(*arguments: Any) -> None:
        store.open_index().close()
        mark(*arguments)

    monkeypatch.setattr(lineage, "mark", seen)
    publish(store, "a", TWO)
    assert contents(store, "a@2") == TWO and patched(store, "a@2") and not list(store.verify())


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
