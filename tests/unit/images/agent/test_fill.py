"""Which of what is on the disk is mended where it stands, and what is made new, on real file systems."""

from __future__ import annotations

import contextlib
import os
import random
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from nastytree import build, snapshot

from images.agent import fill as filling
from images.agent import ground as grounds
from images.agent.fill import Fill, Filled
from images.agent.ground import Ground
from images.importing.from_directory import import_directory
from images.layout import Partition, Size
from images.locator import Locator
from images.storage import Place, Storage
from images.store import ImageStore
from images.tree_writer import write_tree

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="mounts need root")
MIB = 1 << 20


def sh(*words: str) -> str:
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout.strip()


class Client:
    """Answers from a store, as the appliance would over HTTP."""

    def __init__(self, store: ImageStore) -> None:
        self._store = store

    def copy(self) -> Client:
        return self

    def get_range(self, path: str, start: int, length: int) -> bytes:
        return self._store.read_range(path.rpartition("/")[2], start, length)


class Meter:
    """Nobody looks."""

    def __call__(self, done: int, total: int | None, what: str) -> None: ...

    def finish(self) -> None: ...


class Machine:
    """Partitions of 320 MiB on loop devices, with file systems as large as they are told."""

    def __init__(self, tmp: Path, stack: contextlib.ExitStack, monkeypatch: pytest.MonkeyPatch) -> None:
        self.tmp, self.stack, self.target = tmp, stack, tmp / "target"
        self.store, self.tree = ImageStore.open(tmp / "store"), tmp / "tree"
        self.places: list[Place] = []
        self.said: list[str] = []
        (self.tree / "boot").mkdir(parents=True)
        build(self.tree)
        (self.tree / "boot/vmlinuz").write_bytes(random.Random(1).randbytes(70_000))
        import_directory(self.store, "os", self.tree, excludes=())
        real: Callable[[Path], None] = grounds.disks.unmount_all
        monkeypatch.setattr(grounds.disks, "unmount_all", lambda _: real(self.target))
        monkeypatch.setattr(filling.verify, "drop_caches", lambda: None)
        stack.callback(real, self.target)

    def add(self, role: str, mount: str, made: int) -> None:
        """A partition with an ext4 of `made` bytes."""
        file = self.tmp / f"disk-{role}"
        with file.open("wb") as disk:
            disk.truncate(320 * MIB)
        device = sh("losetup", "--find", "--show", str(file))
        self.stack.callback(sh, "losetup", "--detach", device)
        sh("mkfs.ext4", "-q", "-F", device, f"{made >> 10}k")
        part = Partition(role, Size(grow=True), "ext4", mount)
        self.places.append(Place(part, device, 320 * MIB))

    def holds(self) -> None:
        """What it was imaged with before."""
        for place in self.places:
            filling.disks.mount(place, self.target)
        write_tree(self.store.manifest("os@1"), self.store.source("os@1"), self.target)
        grounds.disks.unmount_all(self.target)

    def fill(self, *reused: int) -> Filled:
        storage = Storage((), tuple(self.places))
        ground = Ground(storage, False, None, self.said.append)
        ground.reused = [self.places[number] for number in reused]
        key = self.store.public_key()
        made = Fill(ground, self.target, Client(self.store), key, self.tmp, self.said.append)  # type: ignore[arg-type]
        manifest = self.store.manifest("os@1")
        return made.run(manifest, Locator.parse(self.store.locator(manifest.id)), (), Meter())  # type: ignore[arg-type]

    def seen(self) -> dict[bytes, object]:
        return {
            path: row for path, row in snapshot(self.target).items() if b"lost+found" not in path.split(b"/")
        }


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    with contextlib.ExitStack() as stack:
        yield Machine(tmp_path, stack, monkeypatch)


def test_what_fits_is_mended_where_it_stands(machine: Machine) -> None:
    machine.add("root", "/", 320 * MIB)
    machine.add("boot", "/boot", 320 * MIB)
    machine.holds()
    filled = machine.fill(0, 1)
    assert filled.fetched == 0 and filled.seeded == machine.store.manifest("os@1").header.bytes
    assert filled.note == "" and machine.seen() == snapshot(machine.tree)


@pytest.mark.parametrize("small", [0, 1])
def test_a_file_system_that_fills_less_than_half_of_its_place_is_made_new(
    machine: Machine, small: int
) -> None:
    machine.add("root", "/", (320, 120)[small == 0] * MIB)
    machine.add("boot", "/boot", (320, 120)[small == 1] * MIB)
    machine.holds()
    filled = machine.fill(0, 1)
    device = machine.places[small].device
    assert filled.note == f", made new: the file system on {device} fills less than half of it"
    assert filled.seeded == 0 and filled.fetched > 0
    assert machine.seen() == snapshot(machine.tree)
    for place in machine.places:
        said = sh("dumpe2fs", "-h", place.device)
        blocks = int(said.partition("Block count:")[2].split()[0])
        assert blocks * int(said.partition("Block size:")[2].split()[0]) == place.size


def test_a_fault_of_the_disk_costs_only_time(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.add("root", "/", 320 * MIB)
    machine.holds()

    def broken(*_: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(filling, "mend", broken)
    filled = machine.fill(0)
    assert "Input/output error" in filled.note and filled.seeded == 0
    assert machine.seen() == snapshot(machine.tree)
