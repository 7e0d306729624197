"""Any tree on a disk becomes exactly any image's: every attribute of every name, whatever was done to it,
and wherever a run before was broken off."""

from __future__ import annotations

import fcntl
import os
import random
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from nasty_disk import free, grow, live
from nastytree import build, snapshot

from images.agent.inplace.mend import Mended, mend
from images.agent.inplace.places import Place
from images.importing.from_directory import import_directory
from images.progress import silent
from images.store import ImageStore
from images.tree_writer import write_tree

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="owners and devices need root")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    made = tmp_path / "disk"
    made.mkdir()
    yield made
    free(made)


def flags(top: Path) -> list[bytes]:
    """Names with a flag that only chattr(1) sets (ext4 itself sets extents, index and inline data)."""
    found = []
    for folder, names, files in os.walk(os.fsencode(top)):
        for path in (os.path.join(folder, name) for name in (b".", *names, *files)):
            if stat.S_ISREG(os.lstat(path).st_mode) or stat.S_ISDIR(os.lstat(path).st_mode):
                handle = os.open(path, os.O_RDONLY)
                said = fcntl.ioctl(handle, 0x80086601, bytes(8))
                os.close(handle)
                if int.from_bytes(said[:4], sys.byteorder) & ~(0x80000 | 0x1000 | 0x10000000):
                    found.append(path)
    return found


def run(store: ImageStore, ref: str, older: tuple[str, ...], disk: Path, source: object = None) -> Mended:
    manifests = [store.manifest(one) for one in older]
    packs = source or store.source(ref)
    return mend(store.manifest(ref), packs, manifests, disk, {b"": Place(disk, b"", None)}, silent)  # type: ignore[arg-type]


@pytest.mark.parametrize("number", range(24))
def test_any_tree_becomes_any_image(number: int, tmp_path: Path, disk: Path) -> None:
    dice = random.Random(number)
    store, tree = ImageStore.open(tmp_path / "store"), tmp_path / "tree"
    tree.mkdir()
    grow(os.fsencode(tree), dice)
    import_directory(store, "os", tree, excludes=())
    if number % 3 == 0:
        grow(os.fsencode(disk), dice)  # nothing of ours
    else:
        write_tree(store.manifest("os@1"), store.source("os@1"), disk)
    if number % 3 == 1:
        grow(os.fsencode(tree), dice, 30)
        import_directory(store, "os", tree, excludes=())
    live(os.fsencode(disk), dice)
    run(store, "os@2" if number % 3 == 1 else "os@1", ("os@1",), disk)
    assert snapshot(disk) == snapshot(tree)
    assert flags(disk) == []


def test_a_nasty_old_tree(tmp_path: Path, disk: Path) -> None:
    store, tree = ImageStore.open(tmp_path / "store"), tmp_path / "tree"
    tree.mkdir()
    build(tree)
    import_directory(store, "os", tree, excludes=())
    build(disk)
    deep = os.open(str(disk), os.O_RDONLY)  # far deeper than a path or a process's descriptors may be
    for _ in range(3000):
        os.mkdir("n" * 20, dir_fd=deep)
        deep, above = os.open("n" * 20, os.O_RDONLY, dir_fd=deep), deep
        os.close(above)
    os.mkdir("last", dir_fd=deep)
    subprocess.run(["chattr", "+i", f"/proc/{os.getpid()}/fd/{deep}/last"], check=True)
    os.close(deep)
    subprocess.run(["chattr", "+i", str(disk / "etc")], check=True)
    run(store, "os@1", (), disk)
    assert snapshot(disk) == snapshot(tree)
    assert flags(disk) == []


class Cut(Exception):
    """The power is gone."""


@pytest.mark.parametrize("number", range(4))
def test_a_run_that_was_cut_anywhere_is_completed(
    number: int, tmp_path: Path, disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dice = random.Random(100 + number)
    store, tree = ImageStore.open(tmp_path / "store"), tmp_path / "tree"
    tree.mkdir()
    grow(os.fsencode(tree), dice, 80)
    import_directory(store, "os", tree, excludes=())
    write_tree(store.manifest("os@1"), store.source("os@1"), disk)
    grow(os.fsencode(tree), dice, 40)
    import_directory(store, "os", tree, excludes=())
    live(os.fsencode(disk), dice)
    left = 0

    def counted(name: str) -> None:
        real = getattr(os, name)

        def call(*args: object, **more: object) -> object:
            nonlocal left
            left -= 1
            if left == 0:
                raise Cut
            return real(*args, **more)

        monkeypatch.setattr(os, name, call)

    for name in ("rename", "unlink", "mkdir", "utime", "fchmod", "write", "rmdir", "link", "symlink"):
        counted(name)
    cuts = 0
    for at in (1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144):  # each goes on where the last one was cut
        left = at
        try:
            run(store, "os@2", ("os@1",), disk)
        except Cut:
            cuts += 1
        else:
            break
    left = -1
    mended = run(store, "os@2", ("os@1",), disk)
    assert cuts >= 5 and mended.moved == 0
    monkeypatch.undo()
    assert snapshot(disk) == snapshot(tree)
