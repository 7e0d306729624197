"""A reimage with what is there: the tree as from nothing, little fetched, wherever the last one broke."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from nastytree import build, snapshot

from images.agent.inplace.aside import ASIDE
from images.agent.inplace.mend import Mended, mend
from images.agent.inplace.places import Place
from images.agent.seeded_tree import write_seeded
from images.agent.stash import Stash, free_memory
from images.fetch import PackSource
from images.importing.from_directory import import_directory
from images.progress import silent
from images.store import ImageStore
from images.tree_writer import write_tree

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="owners and devices need root")


class House:
    """A store with two versions of a tree, and a disk (a directory) that holds the first."""

    def __init__(self, tmp: Path) -> None:
        self.store = ImageStore.open(tmp / "store")
        self.tree, self.disk = tmp / "tree", tmp / "disk"
        self.tree.mkdir()
        self.disk.mkdir()
        build(self.tree)
        self._file("var/log/large", os.urandom(3 << 20))
        for number in range(40):
            self._file(f"usr/lib/file{number}", os.urandom(30_000))
        self.old = import_directory(self.store, "os", self.tree, excludes=())
        write_tree(self.store.manifest("os@1"), self.store.source("os@1"), self.disk)

    def _file(self, name: str, data: bytes) -> None:
        path = self.tree / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    def change(self) -> None:
        """The second version: one file changed, one moved, one new, one gone, one became a directory."""
        self._file("usr/lib/file1", os.urandom(30_000))
        (self.tree / "usr/lib/file2").rename(self.tree / "usr/moved")
        (self.tree / "usr/lib/file3").unlink()
        (self.tree / "usr/lib/file4").unlink()
        self._file("usr/lib/file4/inside", os.urandom(1000))
        (self.tree / "usr/lib/file5").chmod(0o4755)
        os.setxattr(self.tree / "usr/lib/file6", "user.new", b"1")
        with (self.tree / "var/log/large").open("r+b") as file:
            file.seek(1 << 20)
            file.write(b"a small change in the middle")
        import_directory(self.store, "os", self.tree, excludes=())

    def reimage(self, ref: str, *known: str, stop_at: str = "") -> tuple[Mended, PackSource]:
        packs, older = self.store.source(ref), [self.store.manifest(one) for one in known if one != ref]

        def progress(done: int, total: int | None, what: str) -> None:
            if stop_at and what and what >= stop_at:
                raise KeyboardInterrupt

        places = {b"": Place(self.disk, b"", None)}
        told = progress if stop_at else silent
        return mend(self.store.manifest(ref), packs, older, self.disk, places, told), packs


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


def test_the_same_version_again_fetches_nothing(house: House) -> None:
    before = snapshot(house.tree)
    inode = (house.disk / "usr/lib/file9").stat().st_ino
    mended, packs = house.reimage("os@1", "os@1")
    assert snapshot(house.disk) == before
    assert packs.fetched == 0 and mended.found == house.store.manifest("os@1").header.bytes
    assert mended.kept > 40 and (house.disk / "usr/lib/file9").stat().st_ino == inode
    assert not (house.disk / ASIDE).exists()


def test_the_next_version_fetches_what_changed(house: House) -> None:
    house.change()
    mended, packs = house.reimage("os@2", "os@1")
    assert snapshot(house.disk) == snapshot(house.tree)
    assert packs.fetched < 1_600_000 < mended.found, "a chunk of the large file, and the new ones' frames"
    assert mended.moved == 1


def test_without_knowing_what_ran_there_the_same_paths_still_help(house: House) -> None:
    house.change()
    mended, _ = house.reimage("os@2")
    assert snapshot(house.disk) == snapshot(house.tree)
    assert mended.kept >= 34


def test_damage_on_the_old_disk_is_never_taken_over(house: House) -> None:
    with (house.disk / "usr/lib/file7").open("r+b") as file:
        file.write(b"bit rot")
    stat = (house.disk / "usr/lib/file8").stat()
    (house.disk / "usr/lib/file8").write_bytes(bytes(30_000))
    os.utime(house.disk / "usr/lib/file8", ns=(stat.st_atime_ns, stat.st_mtime_ns))
    (house.disk / "usr/moved").symlink_to("/etc/shadow")
    house.reimage("os@1", "os@1")
    assert snapshot(house.disk) == snapshot(house.tree)


def test_a_file_that_something_was_appended_to_is_not_fetched_again(house: House) -> None:
    """As imaging does with an initramfs that needs files of its machine."""
    with (house.disk / "var/log/large").open("ab") as file:
        file.write(b"this machine's own")
    mended, packs = house.reimage("os@1", "os@1")
    assert snapshot(house.disk) == snapshot(house.tree)
    assert packs.fetched == 0 and mended.found == house.store.manifest("os@1").header.bytes


@pytest.mark.parametrize("stop_at", ["/b", "/usr/lib/file2", "/var"])
def test_a_broken_imaging_goes_on_with_what_it_had_written(house: House, stop_at: str) -> None:
    house.change()
    with pytest.raises(KeyboardInterrupt):
        house.reimage("os@2", "os@1", stop_at=stop_at)
    _, packs = house.reimage("os@2", "os@1")
    assert snapshot(house.disk) == snapshot(house.tree)
    assert packs.fetched < 1_600_000 and not (house.disk / ASIDE).exists()


def stashed(house: House, tmp_path: Path, budget: int) -> tuple[Stash, PackSource]:
    """The next version onto an empty disk, with what memory kept of the old one."""
    manifest, packs = house.store.manifest("os@2"), house.store.source("os@2")
    stash = Stash(tmp_path / "stash", budget)
    wanted = {chunk.id for chunk in manifest.chunks()}
    for one in ("os@1", "os@2"):
        stash.gather(house.disk, house.store.manifest(one).entries(), wanted)
    shutil.rmtree(house.disk)
    house.disk.mkdir()
    write_seeded(manifest, packs, stash, house.disk, silent)
    return stash, packs


def test_a_changed_layout_loses_the_file_systems_but_not_their_chunks(house: House, tmp_path: Path) -> None:
    house.change()
    stash, packs = stashed(house, tmp_path, 64 << 20)
    assert snapshot(house.disk) == snapshot(house.tree)
    assert packs.fetched < 1_600_000 and stash.bytes > 3_000_000
    stash.close()
    assert (tmp_path / "stash").stat().st_size == 0


def test_a_small_memory_keeps_what_fits(house: House, tmp_path: Path) -> None:
    house.change()
    stash, packs = stashed(house, tmp_path, 400_000)
    assert snapshot(house.disk) == snapshot(house.tree)
    assert 0 < len(stash) <= 400_000 and packs.fetched > 3_000_000


def test_memory_that_changed_its_mind_is_noticed(house: House, tmp_path: Path) -> None:
    stash = Stash(tmp_path / "stash", 64 << 20)
    manifest = house.store.manifest("os@1")
    chunks = [chunk for entry in manifest.entries() for chunk in entry.chunks]
    stash.gather(house.disk, manifest.entries(), {chunk.id for chunk in chunks})
    held = next(chunk for chunk in chunks if stash.holds(chunk.id))
    (tmp_path / "stash").write_bytes(bytes(len(stash)))
    assert stash.read(held) is None


def test_a_third_of_the_free_memory(tmp_path: Path) -> None:
    (tmp_path / "meminfo").write_text("MemTotal:  1000 kB\nMemAvailable:   600 kB\n")
    assert free_memory(tmp_path / "meminfo") == 200 * 1024


def test_a_file_that_left_the_disk_through_a_link_is_not_followed(house: House, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    (house.disk / "usr/lib").rename(outside)
    (house.disk / "usr/lib").symlink_to(outside)
    house.reimage("os@1", "os@1")
    assert snapshot(house.disk) == snapshot(house.tree)
    assert len(list(outside.iterdir())) >= 40, "what lies outside is not moved away"
