"""What goes while patches stand on it: versions removed, packs replaced, other writers under way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from imagestore import contents, make, noise, publish
from patching import BIG, ONE, SMALL, THREE, TWO, edited, held, patched

from images import condemned, groups, lineage, packstream
from images.manifest import Entry
from images.store import ImageStore


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
