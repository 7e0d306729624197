"""A deploy task with a disk image: checked before the disk is touched, written, told step by step."""

from __future__ import annotations

import types
from pathlib import Path

import pytest
from imagestore import make, noise

from images.agent import deploy as deploying
from images.agent import diskdeploy, diskimage
from images.agent.console import Console
from images.agent.diskdeploy import DiskDeploy
from images.errors import BadInput
from images.importing.from_disk import import_disk
from images.store import ImageStore

MIB = 1 << 20


class Reporter:
    def __init__(self) -> None:
        self.events: list[tuple[str, str, dict[str, object]]] = []

    def event(self, kind: str, text: str, **data: object) -> None:
        self.events.append((kind, text, data))

    def flush(self, timeout: float | None = None) -> None:
        """Sent at once."""


class Client:
    """Answers from a store, as the appliance would over HTTP."""

    def __init__(self, store: ImageStore) -> None:
        self.store = store

    def copy(self) -> Client:
        return self

    def get(self, path: str) -> bytes:
        _, _, kind, id = path.split("/")
        found = self.store.manifest_path(id) if kind == "manifests" else self.store.locator_path(id)
        assert found is not None
        return found.read_bytes()

    def get_range(self, path: str, start: int, length: int) -> bytes:
        return self.store.read_range(path.rpartition("/")[2], start, length)


@pytest.fixture
def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> types.SimpleNamespace:
    """A store with a disk image, and a machine whose one disk is a file."""
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(noise(MIB, 1) + bytes(4 * MIB) + noise(2 * MIB, 2) + bytes(MIB))
    target.write_bytes(noise(10 * MIB, 3))
    store = make(tmp_path)
    version = import_disk(store, "win", source)
    disk = {
        "path": str(target), "size": 10 * MIB, "sector": 512, "model": "QEMU", "serial": "1",
        "read_only": False, "removable": False, "transport": "sata", "wwn": "",
    }  # fmt: skip
    monkeypatch.setattr(diskdeploy.inventory, "disks", lambda udev: [disk])
    monkeypatch.setattr(diskdeploy.inventory, "udev_disks", dict)
    monkeypatch.setattr(diskdeploy.volumes, "release", lambda: None)
    monkeypatch.setattr(diskimage, "drop_caches", lambda: None)
    monkeypatch.setattr(deploying, "KEY", store.root / "store.pub")
    monkeypatch.setattr(deploying, "WORK", tmp_path / "work")
    task = {
        "id": "1-2", "node": {"name": "n1"}, "disk": None, "finish": "kexec",
        "image": {
            "ref": version.ref, "kind": "disk", "manifest": version.id,
            "url": f"/store/manifests/{version.id}", "locator": f"/store/locators/{version.id}",
        },
    }  # fmt: skip
    deploy = DiskDeploy(task, Client(store), Reporter(), Console(folder=tmp_path))
    return types.SimpleNamespace(deploy=deploy, source=source, target=target, disk=disk, store=store)


def test_a_disk_comes_back(rig: types.SimpleNamespace) -> None:
    rig.deploy.run()
    wanted = rig.source.read_bytes()
    assert rig.target.read_bytes()[: len(wanted)] == wanted
    events = rig.deploy.reporter.events
    kinds = [kind for kind, _, _ in events if kind != "deploy.progress"]
    assert kinds == ["deploy.disk", "deploy.started", "deploy.files", "deploy.done"]
    done = events[-1][2]
    assert done["image"] == "win@1" and done["disk"] == str(rig.target) and done["bytes"] == 3 * MIB


def test_the_same_again_is_read_and_nothing_is_written(
    rig: types.SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig.deploy.run()
    before = rig.target.read_bytes()
    monkeypatch.setattr(diskimage, "write_disk", lambda *_, **__: pytest.fail("nothing is to be written"))
    rig.deploy.run()
    done = rig.deploy.reporter.events[-1][2]
    assert rig.target.read_bytes() == before
    assert done["fetched"] == 0 and done["seeded"] == done["bytes"]


def test_only_what_differs_is_fetched(rig: types.SimpleNamespace) -> None:
    rig.deploy.run()
    before = rig.target.read_bytes()
    with rig.target.open("r+b") as disk:
        disk.seek(6 * MIB)
        disk.write(b"changed here")
        disk.seek(4 * MIB + 5)
        disk.write(b"and where there is nothing")
    rig.deploy.run()
    done = rig.deploy.reporter.events[-1][2]
    assert rig.target.read_bytes() == before
    assert 0 < done["fetched"] < 2.5 * MIB and done["seeded"] > 0.5 * MIB


def test_a_disk_that_is_too_small_is_not_touched(rig: types.SimpleNamespace) -> None:
    before = rig.target.read_bytes()
    rig.disk["size"] = 7 * MIB
    with pytest.raises(BadInput, match="no disk is large enough"):
        rig.deploy.run()
    assert rig.target.read_bytes() == before and rig.deploy.step == "disk"


def test_broken_off_it_has_nothing_to_boot_and_the_next_try_succeeds(rig: types.SimpleNamespace) -> None:
    ranges, real = [0], rig.deploy.client.get_range

    def broken(path: str, start: int, length: int) -> bytes:
        ranges[0] += 1
        raise OSError(104, "Connection reset by peer")

    rig.deploy.client.get_range = broken
    with pytest.raises(OSError, match="reset"):
        rig.deploy.run()
    assert rig.target.read_bytes()[: 4 * MIB] == bytes(4 * MIB) and rig.deploy.step == "files"
    rig.deploy.client.get_range = real
    rig.deploy.run()
    assert rig.target.read_bytes()[:MIB] == rig.source.read_bytes()[:MIB]


def test_a_foreign_system_is_started_by_a_restart(
    rig: types.SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    monkeypatch.setattr(deploying.finish, "restart", lambda: done.append("restart"))
    monkeypatch.setattr(deploying.finish, "jump", lambda: done.append("jump"))
    rig.deploy.leave()
    assert done == ["restart"]
