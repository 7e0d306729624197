"""Roots over NFS to a real kernel's client, in a virtual machine: every attribute, by both versions; from
another address nothing; a limit; and a server that is killed under it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nastytree
import pytest
from nfs_rig import FRIEND, ROOT, Net

from bootsrv.lab.seed import seeded_store
from images.imager import cpio
from images.importing.from_directory import import_directory
from images.netroot import prepare
from images.store import ImageStore

pytestmark = [pytest.mark.lab, pytest.mark.slow]
IMAGER = Path(sys.prefix) / "share/bootsrv/imager"
INIT = (
    b"#!/usr/bin/busybox sh\n"
    b"export PATH=/usr/sbin:/usr/bin LC_ALL=C.UTF-8\n"
    b"busybox mount -t proc proc /proc; busybox mount -t sysfs sysfs /sys\n"
    b"busybox mount -t devtmpfs devtmpfs /dev; busybox ip link set lo up\n"
    b"exec python3 -S -s -B /nfstest/nfs_guest.py >/dev/ttyS0 2>&1\n"
)


class Guest:
    """A machine in the clients' namespace, on a bridge with its way to the server."""

    def __init__(self, net: Net, kernel: Path, initrd: Path, serial: Path) -> None:
        self._serial, self._seen = serial, 0
        serial.touch()
        for words in (
            ["link", "add", "br0", "type", "bridge"], ["link", "set", "v0", "master", "br0"],
            ["address", "flush", "dev", "v0"], ["tuntap", "add", "t0", "mode", "tap"],
            ["link", "set", "t0", "master", "br0"], ["link", "set", "t0", "up"], ["link", "set", "br0", "up"],
        ):  # fmt: skip
            subprocess.run(["ip", "-n", net.client, *words], check=True)
        self._machine = subprocess.Popen(
            ["ip", "netns", "exec", net.client, "qemu-system-x86_64", "-accel", "tcg", "-cpu", "max", "-m",
            "768",
             "-display", "none", "-monitor", "none", "-serial", f"file:{serial}", "-no-reboot",
             "-netdev", "tap,id=n,ifname=t0,script=no,downscript=no",
             "-device", "virtio-net-pci,netdev=n,romfile=", "-kernel", str(kernel), "-initrd", str(initrd),
             "-append", "console=ttyS0 quiet net.ifnames=0 panic=-1"],
        )  # fmt: skip

    def said(self, verb: str, seconds: float) -> dict[str, Any]:
        """The next thing that it says, which must be this."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            lines = self._serial.read_bytes().split(b"\n")[:-1]
            rows = [line for line in lines if line.startswith(b"SAID ")]
            if len(rows) > self._seen:
                row: dict[str, Any] = json.loads(rows[self._seen][5:])
                self._seen += 1
                assert row["verb"] == verb, row
                return row
            assert self._machine.poll() is None, self._serial.read_bytes()[-2000:]
            time.sleep(0.1)
        raise TimeoutError(self._serial.read_bytes()[-2000:])

    def close(self) -> None:
        self._machine.kill()
        self._machine.wait()


@pytest.fixture
def net() -> Iterator[Net]:
    made = Net()
    yield made
    made.close()


def boot_files(home: Path) -> tuple[Path, Path]:
    """Kernel and first RAM disk of a real image, the RAM disk with our own first process."""
    store = ImageStore.open(seeded_store({"debian": "debian-12-vm"}, print), create=False)
    prepare.make_boot(store, "debian", IMAGER, prepare.Keys(b"k" * 32, b"k" * 32, b"k" * 32), home / "boot")
    scripts = [Path(__file__).with_name("nfs_guest.py"), ROOT / "tests/nastytree.py"]
    entries = [cpio.file("init", INIT, 0o755), cpio.directory("nfstest")]
    entries += [cpio.file(f"nfstest/{path.name}", path.read_bytes()) for path in scripts]
    initrd = home / "initrd"
    packed = (home / "boot" / prepare.INITRD).read_bytes()
    initrd.write_bytes(packed + bytes(-len(packed) % 4) + b"".join(cpio.archive(entries)))
    return home / "boot" / prepare.KERNEL, initrd


def expected(tree: Path) -> dict[str, dict[str, Any]]:
    rows = {}
    for name, row in nastytree.snapshot(tree).items():
        plain = {key: value for key, value in row.items() if key not in ("holes", "xattrs")}
        plain["links"] = os.lstat(os.path.join(os.fsencode(tree), name)).st_nlink
        rows[name.decode("latin-1")] = plain
    text = json.dumps(rows, default=lambda raw: raw.decode("latin-1"), sort_keys=True)
    found: dict[str, dict[str, Any]] = json.loads(text)
    return found


@pytest.mark.timeout(400)
def test_a_real_kernel_has_its_root_over_nfs(net: Net, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    nastytree.build(tree)
    (tree / "dev").rename(tree / "nodes")  # what is in /dev belongs to no image
    import_directory(ImageStore.open(tmp_path / "store"), "nasty", tree)
    kernel, initrd = boot_files(tmp_path)
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
        _same_trees(guest, expected(tree))
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
            os.kill(pid, signal.SIGKILL)
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


def _same_trees(guest: Guest, wanted: dict[str, dict[str, Any]]) -> None:
    """Version 3 has unsigned 32-bit seconds, and attributes of neither version are compared: see README."""
    for version in ("4.2", "3"):
        row = guest.said("tree", 60)
        assert row["version"] == version
        print(version, {name: one["xattrs"] for name, one in row["rows"].items() if one["xattrs"]})
        assert row["rows"].keys() == wanted.keys()
        for name, found in row["rows"].items():
            found.pop("xattrs")
            want = dict(wanted[name])
            if version == "3" and want["mtime"] < 0:
                want.pop("mtime"), found.pop("mtime")
            assert found == want, (version, name)
