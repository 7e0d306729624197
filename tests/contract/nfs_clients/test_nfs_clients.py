"""Versions over NFS to real clients: libnfs (versions 3 and 4), and calls by hand for what no client does."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import imagestore
import nastytree
import pytest
from nfs_rig import FRIEND, SERVER, STRANGER, Net, Serving, kill
from nfs_serve import told

from images.importing.from_directory import import_directory
from images.store import ImageStore

pytestmark = pytest.mark.netns
RIG = str(Path(__file__).with_name("nfs_rig.py"))
FILES = {"etc-hostname": b"golden\n", "big": os.urandom(3_000_000), "empty": b""}


@pytest.fixture
def net() -> Iterator[Net]:
    made = Net()
    yield made
    made.close()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    store = imagestore.make(tmp_path)
    imagestore.publish(store, "debian", FILES)
    imagestore.publish(store, "debian", {**FILES, "new": b"2"})
    (tmp_path / "nfs").mkdir()
    return tmp_path


@pytest.fixture
def serving(net: Net, home: Path) -> Iterator[Serving]:
    made = net.serve(home / "nfs")
    for number in (1, 2):
        made.ask("root", store=str(home / "store"), ref=f"debian@{number}", target=str(home / f"v{number}"))
    yield made
    made.close()


def root(home: Path, number: int, *clients: str) -> dict[str, Any]:
    return {
        "id": number, "directory": str(home / f"v{number}"), "path": f"/roots/debian@{number}",
        "clients": clients,
    }  # fmt: skip


def by_hand(net: Net, *words: str) -> Any:
    done = net.run(sys.executable, RIG, *words)
    return json.loads(done.stdout or json.dumps({"refused": done.stderr.decode()}))


def url(path: str, version: int) -> str:
    ports = "&mountport=20048&nfsport=2049" if version == 3 else ""
    return f"nfs://{SERVER}{path}?version={version}{ports}"


@pytest.mark.parametrize("version", [3, 4])
def test_a_granted_machine_reads_every_byte(net: Net, home: Path, serving: Serving, version: int) -> None:
    serving.ask("apply", exports=[root(home, 1, FRIEND)])
    for name, data in FILES.items():
        done = net.run("nfs-cat", url(f"/roots/debian@1/{name}", version))
        assert done.stdout == data, done.stderr


def test_the_image_is_the_tree_to_the_last_attribute(net: Net, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    nastytree.build(tree)
    (tree / "dev").rename(tree / "nodes")  # what is in /dev belongs to no image
    import_directory(ImageStore.open(tmp_path / "store"), "nasty", tree)
    (tmp_path / "nfs").mkdir()
    serving = net.serve(tmp_path / "nfs")
    try:
        serving.ask("root", store=str(tmp_path / "store"), ref="nasty@1", target=str(tmp_path / "v1"))
        seen = serving.ask("snapshot", target=str(tmp_path / "v1"))
    finally:
        serving.close()
    wanted = told(tree)
    assert seen.keys() == wanted.keys()
    for name, row in wanted.items():
        assert seen[name] == row, name


def test_a_directory_of_the_server_is_read_as_nobody(net: Net, home: Path, serving: Serving) -> None:
    (home / "media").mkdir()
    home.chmod(0o755)
    for path in (home / "media" / "open", home / "media" / "closed"):
        path.write_bytes(b"x")
    (home / "media" / "closed").chmod(0o600)
    shared = {
        "id": 7, "directory": str(home / "media"), "path": "/trees/rhel9", "clients": [FRIEND],
        "squash": True,
    }  # fmt: skip
    serving.ask("apply", exports=[shared])
    assert net.run("nfs-cat", url("/trees/rhel9/open", 3)).stdout == b"x"
    assert net.run("nfs-cat", url("/trees/rhel9/closed", 3)).returncode != 0
    handle = bytes.fromhex(by_hand(net, "mount", "/trees/rhel9", FRIEND))
    server_root = (handle[:-9] + struct.pack("<II", 2, 0) + handle[-1:]).hex()
    etc = by_hand(net, "lookup", server_root, "etc", FRIEND)
    if "refused" not in etc:  # this disk's root is inode 2: whoever is nobody there reads no secret
        shadow = by_hand(net, "lookup", etc, "shadow", FRIEND)
        assert by_hand(net, "read", shadow, FRIEND) == {"refused": "[Errno 13] read"}


def test_another_address_and_another_version_are_refused(net: Net, home: Path, serving: Serving) -> None:
    serving.ask("apply", exports=[root(home, 1, FRIEND), root(home, 2)])
    handle = by_hand(net, "mount", "/roots/debian@1", FRIEND)
    assert by_hand(net, "getattr", handle, FRIEND) == 0
    assert "refused" in by_hand(net, "mount", "/roots/debian@1", STRANGER)
    assert by_hand(net, "getattr", handle, STRANGER) == {"refused": "refused"}
    assert "refused" in by_hand(net, "mount", "/roots/debian@2", FRIEND)
    done = net.run("nfs-ls", url("/roots/debian@2", 4))
    assert done.returncode and b"NFS4ERR" in done.stderr


def test_a_grant_comes_and_goes_while_others_go_on(net: Net, home: Path, serving: Serving) -> None:
    pid = serving.ask("apply", exports=[root(home, 1, FRIEND)])
    kept = by_hand(net, "mount", "/roots/debian@1", FRIEND)
    assert serving.ask("apply", exports=[root(home, 1, FRIEND), root(home, 2, FRIEND)]) == pid
    lent = by_hand(net, "mount", "/roots/debian@2", FRIEND)
    assert by_hand(net, "getattr", lent, FRIEND) == 0
    assert serving.ask("apply", exports=[root(home, 1, FRIEND), root(home, 2, STRANGER)]) == pid
    assert by_hand(net, "getattr", lent, FRIEND) == {"refused": "refused"}
    assert by_hand(net, "getattr", lent, STRANGER) == 0
    assert serving.ask("apply", exports=[root(home, 1, FRIEND)]) == pid
    assert by_hand(net, "getattr", lent, STRANGER) != 0
    assert by_hand(net, "getattr", kept, FRIEND) == 0


def test_file_handles_outlive_a_killed_server(net: Net, home: Path, serving: Serving) -> None:
    pid = serving.ask("apply", exports=[root(home, 1, FRIEND), root(home, 2, FRIEND)])
    handle = by_hand(net, "mount", "/roots/debian@1", FRIEND)
    inner = by_hand(net, "lookup", handle, "big", FRIEND)
    kill(pid)
    assert serving.ask("apply", exports=[root(home, 1, FRIEND), root(home, 2, FRIEND)]) != pid
    assert by_hand(net, "getattr", inner, FRIEND) == 0
    assert by_hand(net, "mount", "/roots/debian@1", FRIEND) == handle


def test_file_handles_outlive_the_whole_service(net: Net, home: Path, serving: Serving) -> None:
    serving.ask("apply", exports=[root(home, 1, FRIEND)])
    handle = by_hand(net, "mount", "/roots/debian@1", FRIEND)
    serving.close()
    again = net.serve(home / "nfs")
    try:
        again.ask("root", store=str(home / "store"), ref="debian@1", target=str(home / "v1"))
        again.ask("apply", exports=[root(home, 1, FRIEND)])
        assert by_hand(net, "getattr", handle, FRIEND) == 0
    finally:
        again.close()


def test_a_made_up_handle_leads_nowhere_else(net: Net, home: Path, serving: Serving) -> None:
    """Inode 2, generation 0 is the root of the server's own disk, if that is where the export is."""
    serving.ask("writes", image=str(home / "w.img"), target=str(home / "w"), limit=64 << 20)
    own = {"id": 9, "directory": str(home / "w"), "path": "/writes/1", "clients": [FRIEND], "writable": True}
    serving.ask("apply", exports=[root(home, 1, FRIEND), own])
    written = bytes.fromhex(by_hand(net, "mount", "/writes/1", FRIEND))
    made_up = written[:-9] + struct.pack("<II", 2, 0) + written[-1:]
    assert made_up == written  # it is its own root already: there is nothing above it
    for inode in range(1, 60):
        handle = written[:-9] + struct.pack("<II", inode, 0) + written[-1:]
        found = by_hand(net, "lookup", handle.hex(), "shadow", FRIEND)
        assert "refused" in found


def test_what_one_machine_writes(net: Net, home: Path, serving: Serving) -> None:
    got = serving.ask("writes", image=str(home / "w.img"), target=str(home / "w"), limit=64 << 20)
    assert got["limit"] >= 64 << 20
    own = {"id": 9, "directory": str(home / "w"), "path": "/writes/1", "clients": [FRIEND], "writable": True}
    serving.ask("apply", exports=[own, root(home, 1, FRIEND)])
    source = home / "file"
    source.write_bytes(os.urandom(1_000_000))
    done = net.run("nfs-cp", str(source), url("/writes/1/file", 3))  # libnfs 4.0 cannot write by version 4
    assert done.returncode == 0, done.stderr
    assert (home / "nfs").is_dir() and net.run(
        "nfs-cat", url("/writes/1/file", 3)
    ).stdout == source.read_bytes()
    done = net.run("nfs-cp", str(source), url("/roots/debian@1/file", 4))
    assert done.returncode != 0
    big = home / "too big"
    with big.open("wb") as file:
        for _ in range(100):
            file.write(os.urandom(1 << 20))
    done = net.run("nfs-cp", str(big), url("/writes/1/big", 3), timeout=60)
    assert done.returncode != 0, "a machine wrote more than it may"
    serving.close()
    again = net.serve(home / "nfs")
    try:
        grown = again.ask("writes", image=str(home / "w.img"), target=str(home / "w"), limit=200 << 20)
        assert grown["limit"] >= 200 << 20
        again.ask("apply", exports=[own])
        assert net.run("nfs-cat", url("/writes/1/file", 3)).stdout == source.read_bytes()
    finally:
        again.close()


def test_who_has_it_mounted(net: Net, home: Path, serving: Serving) -> None:
    serving.ask("apply", exports=[root(home, 1, FRIEND)])
    assert serving.ask("connected") == []
    held = subprocess.Popen(
        ["ip", "netns", "exec", net.client, sys.executable, "-c",
         f"import socket; s = socket.create_connection(('{SERVER}', 2049)); print(1, flush=True); input()"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert held.stdout is not None and held.stdout.readline()
    assert serving.ask("connected") == [FRIEND]
    held.communicate(b"\n")
