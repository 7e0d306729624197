"""A virtual machine with a real image's kernel whose first process is a script of ours, which says what it
sees on the serial console.

SAID {"verb": ..., ...}       a line of JSON for each step
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import nastytree
from nfs_rig import ROOT, Net

from bootsrv.lab.seed import seeded_store
from images.imager import cpio
from images.netroot import prepare
from images.store import ImageStore

IMAGER = Path(sys.prefix) / "share/bootsrv/imager"
INIT = (
    b"#!/usr/bin/busybox sh\n"
    b"export PATH=/usr/sbin:/usr/bin LC_ALL=C.UTF-8\n"
    b"busybox mount -t proc proc /proc; busybox mount -t sysfs sysfs /sys\n"
    b"busybox mount -t devtmpfs devtmpfs /dev; busybox ip link set lo up\n"
    b"exec python3 -S -s -B /nfstest/%s >/dev/ttyS0 2>&1\n"
)


class Guest:
    """A machine in the clients' namespace, on a bridge with its way to the server."""

    def __init__(
        self, net: Net, kernel: Path, initrd: Path, serial: Path, number: int = 0, words: str = ""
    ) -> None:
        """`number` of the machines on the bridge; `words` are for the kernel's command line."""
        self._serial, self._seen = serial, 0
        serial.touch()
        tap, steps = f"t{number}", list[list[str]]()
        if not number:
            steps += [["link", "add", "br0", "type", "bridge"], ["link", "set", "v0", "master", "br0"]]
            steps += [["address", "flush", "dev", "v0"], ["link", "set", "br0", "up"]]
        steps += [["tuntap", "add", tap, "mode", "tap"], ["link", "set", tap, "master", "br0"]]
        for step in [*steps, ["link", "set", tap, "up"]]:
            subprocess.run(["ip", "-n", net.client, *step], check=True)
        self._machine = subprocess.Popen(
            ["ip", "netns", "exec", net.client, "qemu-system-x86_64", "-accel", "tcg", "-cpu", "max", "-m",
            "768",
             "-display", "none", "-monitor", "none", "-serial", f"file:{serial}", "-no-reboot",
             "-netdev", f"tap,id=n,ifname={tap},script=no,downscript=no",
             "-device", f"virtio-net-pci,netdev=n,romfile=,mac=52:54:00:99:00:{number:02x}",
             "-kernel", str(kernel), "-initrd", str(initrd),
             "-append", f"console=ttyS0 quiet net.ifnames=0 panic=-1 {words}"],
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


def boot_files(home: Path, *scripts: str, more: Iterable[cpio.Entry] = ()) -> tuple[Path, Path]:
    """Kernel and first RAM disk of a real image; the first one of `scripts`, which lie here, is started."""
    store = ImageStore.open(seeded_store({"debian": "debian-12-vm"}, print), create=False)
    prepare.make_boot(store, "debian", IMAGER, prepare.Keys(b"k" * 32, b"k" * 32, b"k" * 32), home / "boot")
    paths = [*(Path(__file__).with_name(name) for name in scripts), ROOT / "tests/nastytree.py"]
    entries = [cpio.file("init", INIT % scripts[0].encode(), 0o755), cpio.directory("nfstest")]
    entries += [cpio.file(f"nfstest/{path.name}", path.read_bytes()) for path in paths]
    initrd = home / "initrd"
    packed = (home / "boot" / prepare.INITRD).read_bytes()
    initrd.write_bytes(packed + bytes(-len(packed) % 4) + b"".join(cpio.archive([*entries, *more])))
    return home / "boot" / prepare.KERNEL, initrd


def expected(tree: Path) -> dict[str, dict[str, Any]]:
    """What a client is to see of it."""
    rows = {}
    for name, row in nastytree.snapshot(tree).items():
        plain = {key: value for key, value in row.items() if key not in ("holes", "xattrs")}
        plain["links"] = os.lstat(os.path.join(os.fsencode(tree), name)).st_nlink
        rows[name.decode("latin-1")] = plain
    text = json.dumps(rows, default=lambda raw: raw.decode("latin-1"), sort_keys=True)
    found: dict[str, dict[str, Any]] = json.loads(text)
    return found


def same_trees(guest: Guest, wanted: dict[str, dict[str, Any]]) -> None:
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
