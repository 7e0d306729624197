"""On real file systems: read past the cache, mounted below each other, with what mkfs, e2fsck and a running
system left in them."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from nasty_disk import live
from nastytree import build, snapshot

from images.agent.inplace import content, extents
from images.agent.inplace.aside import ASIDE
from images.agent.inplace.compare import StrangeGround
from images.agent.inplace.mend import Mended, mend
from images.agent.inplace.places import Place, clear_way
from images.importing.from_directory import import_directory
from images.progress import silent
from images.store import ImageStore
from images.tree_writer import write_tree

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="mounts need root")
MKFS = {"ext4": ["mkfs.ext4", "-q", "-F"], "xfs": ["mkfs.xfs", "-q"], "btrfs": ["mkfs.btrfs", "-q"]}


def sh(*words: str) -> str:
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout.strip()


class Machine:
    """Disks of one machine, on loop devices, and where they are mounted."""

    def __init__(self, tmp: Path, stack: contextlib.ExitStack) -> None:
        self.tmp, self.stack, self.target = tmp, stack, tmp / "target"
        self.target.mkdir()
        self.store, self.tree = ImageStore.open(tmp / "store"), tmp / "tree"
        self.tree.mkdir()
        self.devices: dict[str, str] = {}
        self.mounted: list[Path] = []

    def add(self, prefix: str, fs: str) -> None:
        file = self.tmp / f"disk-{len(self.devices)}"
        with file.open("wb") as made:
            made.truncate(320 << 20)
        self.devices[prefix] = device = sh("losetup", "--find", "--show", str(file))
        self.stack.callback(sh, "losetup", "--detach", device)
        sh(*MKFS[fs], device)

    def mount(self, prefix: str) -> Path:
        where = self.target / prefix
        where.mkdir(exist_ok=True)
        sh("mount", self.devices[prefix], str(where))
        self.mounted.append(where)
        return where

    def unmount(self) -> None:
        while self.mounted:
            sh("umount", str(self.mounted.pop()))

    def publish(self) -> None:
        import_directory(self.store, "os", self.tree, excludes=())

    def mend(self, ref: str, plain: bool = True) -> Mended:
        places: dict[bytes, Place] = {}
        for prefix, device in self.devices.items():
            clear_way(self.target, prefix.encode(), places)
            places[prefix.encode()] = Place(self.mount(prefix), prefix.encode(), device if plain else None)
        return mend(self.store.manifest(ref), self.store.source(ref), [], self.target, places, silent)

    def seen(self) -> dict[bytes, Any]:
        """The tree as it is, without what mkfs makes."""
        rows = snapshot(self.target)
        for row in rows.values():  # XFS's own names of an ACL
            row["xattrs"] = {k: v for k, v in row["xattrs"].items() if not k.startswith("trusted.SGI_")}
        return {path: row for path, row in rows.items() if b"lost+found" not in path.split(b"/")}


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    with contextlib.ExitStack() as stack:
        made = Machine(tmp_path, stack)
        stack.callback(made.unmount)
        yield made


def files(tree: Path, dice: random.Random) -> None:
    (tree / "usr/lib").mkdir(parents=True)
    for number in range(300):
        (tree / f"usr/lib/file{number}").write_bytes(dice.randbytes(dice.randrange(1, 60_000)))
    (tree / "usr/large").write_bytes(dice.randbytes(9_000_000))


@pytest.mark.parametrize("fs", ["ext4", "xfs", "btrfs"])
def test_what_rotted_is_found_on_the_device(
    fs: str, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    build(machine.tree)
    files(machine.tree, random.Random(1))
    machine.publish()
    machine.add("", fs)
    write_tree(machine.store.manifest("os@1"), machine.store.source("os@1"), machine.mount(""))
    rotten = machine.target / "usr/lib/file7"
    sh("sync", "--file-system", str(machine.target))
    with rotten.open("rb") as file:
        where = extents.place(file.fileno(), rotten.stat().st_size)
        good = file.read()
    machine.unmount()
    if fs != "btrfs":  # whose places are its own, and which would notice
        assert where is not None
        with open(machine.devices[""], "r+b") as disk:
            disk.seek(where)
            assert disk.read(len(good)) == good, "that is where the file lies"
            disk.seek(where + len(good) // 2)
            disk.write(bytes([good[len(good) // 2] ^ 4]))
    slow = []
    real = content._as_file
    monkeypatch.setattr(content, "_as_file", lambda *row: slow.append(row[1].path) or real(*row))
    mended = machine.mend("os@1", plain=fs != "btrfs")
    wrong = 0 if fs == "btrfs" else 1
    assert mended.kept == sum(
        1 for e in machine.store.manifest("os@1").entries() if e.type == "file" and e.size
    ) - wrong  # fmt: skip
    if fs != "btrfs":
        small = {path for path in slow if path.startswith(b"usr/lib/")}  # a large one may lie in parts
        assert len(small) < 12, "most was read from the device itself"
    assert machine.seen() == snapshot(machine.tree)
    machine.unmount()
    machine.mount("")
    sh("sync", "--file-system", str(machine.target))
    Path("/proc/sys/vm/drop_caches").write_text("3\n")
    assert machine.seen() == snapshot(machine.tree), "and so it is on the disk"


@pytest.mark.parametrize("number", range(3))
def test_two_file_systems_and_what_was_done_to_them(number: int, machine: Machine, tmp_path: Path) -> None:
    dice = random.Random(number)
    files(machine.tree, dice)
    build(machine.tree)
    (machine.tree / "boot/grub").mkdir(parents=True)
    (machine.tree / "boot/vmlinuz").write_bytes(dice.randbytes(70_000))
    machine.publish()
    machine.add("", "ext4")
    machine.add("boot", ("ext4", "xfs", "btrfs")[number])
    root = machine.mount("")
    machine.mount("boot")
    write_tree(machine.store.manifest("os@1"), machine.store.source("os@1"), root)
    live(os.fsencode(root / "usr/lib"), dice)
    live(os.fsencode(root / "boot"), dice)
    (root / "lost+found/#12").write_bytes(b"found")
    (root / "lost+found").chmod(0o755)
    (root / "boot/local").mkdir()
    machine.unmount()
    root = machine.mount("")
    (root / "boot/hidden").write_bytes(b"below the mount")
    sh("chattr", "+i", str(root / "boot"))
    machine.unmount()
    machine.mend("os@1")
    assert machine.seen() == snapshot(machine.tree)
    assert (root / "lost+found").stat().st_mode & 0o7777 == 0o700
    assert list((root / "lost+found").iterdir()) == []
    machine.unmount()
    root = machine.mount("")
    assert list((root / "boot").iterdir()) == [] and not (root / ASIDE).exists()


def test_a_link_where_something_is_mounted_leads_nowhere(machine: Machine, tmp_path: Path) -> None:
    (machine.tree / "etc").mkdir()
    (machine.tree / "boot").mkdir()
    (machine.tree / "boot/vmlinuz").write_bytes(b"kernel")
    machine.publish()
    machine.add("", "ext4")
    machine.add("boot", "ext4")
    outside = tmp_path / "outside"
    outside.mkdir()
    root = machine.mount("")
    (root / "boot").symlink_to(outside)
    machine.unmount()
    machine.mend("os@1")
    assert machine.seen() == snapshot(machine.tree)
    assert not os.path.ismount(outside) and list(outside.iterdir()) == []


def test_a_mount_that_the_image_does_not_know_is_emptied_and_stays(machine: Machine) -> None:
    (machine.tree / "etc").mkdir()
    machine.publish()
    machine.add("", "ext4")
    machine.add("scratch", "ext4")
    machine.mount("")
    scratch = machine.mount("scratch")
    (scratch / "old").write_bytes(b"data of an earlier day")
    machine.unmount()
    machine.mend("os@1")
    assert os.path.ismount(scratch) and [path.name for path in scratch.iterdir()] == ["lost+found"]
    assert set(os.listdir(machine.target)) == {"etc", "scratch", "lost+found"}


@pytest.mark.skipif(shutil.which("btrfs") is None, reason="no btrfs-progs")
def test_a_subvolume_is_for_a_new_file_system_only(machine: Machine) -> None:
    (machine.tree / "etc").mkdir()
    machine.publish()
    machine.add("", "btrfs")
    root = machine.mount("")
    sh("btrfs", "subvolume", "create", str(root / "etc"))
    machine.unmount()
    with pytest.raises(StrangeGround, match="/etc is a file system or volume of its own"):
        machine.mend("os@1", plain=False)


@pytest.mark.parametrize("fs", ["ext4", "btrfs"])
def test_a_thousand_small_files_leave_descriptors_for_others(
    fs: str, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process of the imager's may have 1,024: files that wait to be read are not open."""
    for folder in ("etc", "usr"):
        (machine.tree / folder).mkdir()
    for number in range(3000):
        (machine.tree / f"usr/file{number}").write_bytes(b"%d" % number * 200)
    machine.publish()
    machine.add("", fs)
    write_tree(machine.store.manifest("os@1"), machine.store.source("os@1"), machine.mount(""))
    machine.unmount()
    most = 0
    real = content.send

    def counted(way: int, what: object) -> None:
        nonlocal most
        most = max(most, len(os.listdir("/proc/self/fd")))
        real(way, what)

    monkeypatch.setattr(content, "send", counted)
    before = len(os.listdir("/proc/self/fd"))
    mended = machine.mend("os@1", plain=fs == "ext4")
    assert mended.kept == 3000 and mended.found == machine.store.manifest("os@1").header.bytes
    assert 0 < most - before < 50


def install(machine: Machine, random: random.Random) -> None:
    """Some files, as a version and on the machine's disk."""
    (machine.tree / "etc").mkdir()
    files(machine.tree, random)
    machine.publish()
    machine.add("", "ext4")
    write_tree(machine.store.manifest("os@1"), machine.store.source("os@1"), machine.mount(""))
    machine.unmount()


def test_a_device_that_cannot_be_read_costs_only_time(machine: Machine, tmp_path: Path) -> None:
    install(machine, random.Random(3))
    (tmp_path / "short").write_bytes(bytes(4096))
    places = {b"": Place(machine.mount(""), b"", str(tmp_path / "short"))}
    manifest = machine.store.manifest("os@1")
    mended = mend(manifest, machine.store.source("os@1"), [], machine.target, places, silent)
    assert mended.kept < 5 and mended.moved > 250, "seen as a file, each was right"
    assert machine.seen() == snapshot(machine.tree)


def test_a_reader_that_is_killed_is_a_fault_and_leaves_nothing_wrong(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(machine, random.Random(4))
    made: list[subprocess.Popen[bytes]] = []
    real = content.Content.__init__

    def killed(self: content.Content, *words: Any) -> None:
        real(self, *words)
        self._process.kill()
        made.append(self._process)

    with monkeypatch.context() as patch, pytest.raises(OSError, match="ended with -9"):
        patch.setattr(content.Content, "__init__", killed)
        machine.mend("os@1")
    assert made[0].poll() is not None
    machine.unmount()
    machine.mend("os@1")
    assert machine.seen() == snapshot(machine.tree)
