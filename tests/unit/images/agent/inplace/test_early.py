"""What is new to a disk is fetched while the disk is compared: once, within bounds, and never at the price of
the result."""

from __future__ import annotations

import os
import random
import threading
from pathlib import Path

import pytest
from nastytree import snapshot

from images.agent.inplace import compare, early
from images.agent.inplace.early import Early
from images.agent.inplace.mend import mend
from images.agent.inplace.places import Place
from images.errors import ImageError
from images.fetch import PackSource
from images.importing.from_directory import import_directory
from images.locator import Locator
from images.progress import silent
from images.sealed import SealedManifest
from images.store import ImageStore
from images.tree_writer import write_tree

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="owners need root")


class House:
    """A disk that is version 1, and a store that has version 2; each range that is fetched is counted."""

    def __init__(self, tmp: Path) -> None:
        dice, self.tree, self.disk = random.Random(7), tmp / "tree", tmp / "disk"
        (self.tree / "etc").mkdir(parents=True)
        self.disk.mkdir()
        self.store = ImageStore.open(tmp / "store")
        for number in range(40):
            (self.tree / f"file{number}").write_bytes(dice.randbytes(30_000))
        import_directory(self.store, "os", self.tree, excludes=())
        for number in range(0, 40, 4):
            (self.tree / f"file{number}").write_bytes(dice.randbytes(31_000))
        (self.tree / "moved").write_bytes((self.tree / "file1").read_bytes())
        (self.tree / "file1").unlink()
        import_directory(self.store, "os", self.tree, excludes=())
        write_tree(self.store.manifest("os@1"), self.store.source("os@1"), self.disk)
        self.old, self.new = self.store.manifest("os@1"), self.store.manifest("os@2")
        self.asked: list[str] = []  # by whom
        self.failures = 0
        self.packs = PackSource(Locator.parse(self.store.locator(self.new.id)), self.get)

    def get(self, pack: str, start: int, length: int) -> bytes:
        self.asked.append("early" if any(t.name == "early" for t in threading.enumerate()) else "late")
        if self.failures:
            self.failures -= 1
            raise ImageError("the server is away")
        found = self.store.pack_path(pack)
        assert found is not None
        with found.open("rb") as file:
            file.seek(start)
            return file.read(length)

    def mend(self, older: list[SealedManifest]) -> None:
        mend(self.new, self.packs, older, self.disk, {b"": Place(self.disk, b"", None)}, silent)
        assert snapshot(self.disk) == snapshot(self.tree)


def test_all_that_is_new_and_nothing_else_comes_early(tmp_path: Path) -> None:
    house = House(tmp_path)
    one = Early(house.new, [house.old], house.packs)
    one.wait()
    fresh = set(house.new.ids()) - set(house.old.ids())
    assert len(fresh) == 10 and {id for id in house.new.ids() if one.get(id) is not None} == fresh
    one.close()
    house.asked.clear()
    house.mend([house.old])
    assert house.asked and set(house.asked) == {"early"}


def test_without_an_older_version_all_comes_when_it_is_needed(tmp_path: Path) -> None:
    house = House(tmp_path)
    house.mend([])
    assert house.asked and set(house.asked) == {"late"}


@pytest.mark.parametrize("limit", ["BYTES", "CHUNKS", "NAMES"])
def test_it_is_bounded(limit: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    house = House(tmp_path)
    monkeypatch.setattr(early, limit, {"BYTES": 100_000, "CHUNKS": 3, "NAMES": 10}[limit])
    one = Early(house.new, [house.old], house.packs)
    one.wait()
    assert sum(one.get(id) is not None for id in house.new.ids()) == (0 if limit == "NAMES" else 3)
    one.close()
    house.mend([house.old])


def test_a_server_that_is_away_for_a_moment_costs_nothing_but_that(tmp_path: Path) -> None:
    house = House(tmp_path)
    house.failures = 1
    house.mend([house.old])
    assert "late" in house.asked


def test_a_server_that_stays_away_is_told_of(tmp_path: Path) -> None:
    house = House(tmp_path)
    house.failures = 1000
    with pytest.raises(ImageError, match="the server is away"):
        house.mend([house.old])
    house.failures = 0
    house.mend([house.old])


def test_it_ends_with_a_comparison_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    house = House(tmp_path)

    def fail(self: compare.Compare) -> None:
        raise compare.StrangeGround("it is strange")

    monkeypatch.setattr(compare.Compare, "run", fail)
    with pytest.raises(compare.StrangeGround):
        house.mend([house.old])
    assert all(thread.name != "early" for thread in threading.enumerate())
