"""Roots over NFS to a real kernel's client, in a virtual machine: every attribute, by both versions; from
another address nothing; a limit; and a server that is killed under it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import nastytree
import pytest
from nfs_machine import Guest, boot_files, expected, same_trees
from nfs_rig import FRIEND, STRANGER, Net, kill

from images.importing.from_directory import import_directory
from images.store import ImageStore

pytestmark = [pytest.mark.lab, pytest.mark.slow]


@pytest.fixture
def net() -> Iterator[Net]:
    made = Net()
    yield made
    made.close()


@pytest.mark.timeout(400)
def test_a_real_kernel_has_its_root_over_nfs(net: Net, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    nastytree.build(tree)
    (tree / "dev").rename(tree / "nodes")  # what is in /dev belongs to no image
    import_directory(ImageStore.open(tmp_path / "store"), "nasty", tree)
    kernel, initrd = boot_files(tmp_path, "nfs_guest.py")
    (tmp_path / "nfs").mkdir()
    serving = net.serve(tmp_path / "nfs")
    guest = None
    try:
        serving.ask("root", store=str(tmp_path / "store"), ref="nasty@1", target=str(tmp_path / "v1"))
        serving.ask("writes", image=str(tmp_path / "w.img"), target=str(tmp_path / "w"), limit=64 << 20)
        exports = [
            {"id": 1, "directory": str(tmp_path / "v1"), "path": "/roots/nasty@1", "clients": [FRIEND]},
            {"id": 2, "directory": str(tmp_path / "w"), "path": "/writes/1", "clients": [FRIEND],
             "writable": True},
        ]  # fmt: skip
        pid = serving.ask("apply", exports=exports)
        guest = Guest(net, kernel, initrd, tmp_path / "serial")
        print(guest.said("up", 120))
        same_trees(guest, expected(tree))
        for version in ("4.2", "3"):
            row = guest.said("refused", 60)
            assert row["version"] == version and row["error"], row
        row = guest.said("writes", 60)
        assert (row["size"], row["owner"], row["mode"]) == (5_000_000, [12, 34], "0o100640")
        row = guest.said("full", 120)
        assert "No space left" in row["error"] and row["after"] == ["kept", "lost+found"], row
        for _ in ("4.2", "3"):
            guest.said("ready", 60)
            time.sleep(2)
            kill(pid)
            time.sleep(2)
            pid = serving.ask("apply", exports=exports)
            row = guest.said("went on", 120)
            print(row)
            assert row["same"] and row["fresh"] and row["rounds"] > 3, row
        guest.said("done", 30)
    finally:
        if guest is not None:
            guest.close()
        serving.close()


@pytest.mark.timeout(400)
def test_two_machines_have_it_at_once(net: Net, tmp_path: Path) -> None:
    """Neither waits for the other."""
    (tmp_path / "tree/etc").mkdir(parents=True)
    (tmp_path / "tree/big").write_bytes(os.urandom(1 << 20))
    import_directory(ImageStore.open(tmp_path / "store"), "nasty", tmp_path / "tree")
    kernel, initrd = boot_files(tmp_path, "nfs_pair.py", "nfs_guest.py")
    (tmp_path / "nfs").mkdir()
    serving, guests = net.serve(tmp_path / "nfs"), list[Guest]()
    try:
        serving.ask("root", store=str(tmp_path / "store"), ref="nasty@1", target=str(tmp_path / "v1"))
        clients = [FRIEND, STRANGER]
        row = {"id": 1, "directory": str(tmp_path / "v1"), "path": "/roots/nasty@1", "clients": clients}
        serving.ask("apply", exports=[row])
        for number, own in enumerate(clients):
            words = f"pair.own={own} pair.name=n{number}"
            guests.append(Guest(net, kernel, initrd, tmp_path / f"serial{number}", number, words))
        for guest in guests:
            guest.said("mounted", 150)
        for guest in guests:
            said = guest.said("read", 90)
            print(said)
            assert said["digests"] == 1 and said["rounds"] > 20 and said["slowest"] < 10, said
    finally:
        for guest in guests:
            guest.close()
        serving.close()
