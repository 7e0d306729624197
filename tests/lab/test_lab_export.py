"""A tree of files, exported as raw and as qcow2: it boots, by BIOS and by UEFI, and is what it should be."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bootsrv.lab.seed import seeded_store
from bootsrv.payloads import default_dir
from images.exporting.formats import export_image
from images.exporting.machine import Machine, plain_machine
from images.layout import Layout
from images.layout_parse import default_layout, parse_layout
from images.store import ImageStore

RIG = Path(__file__).with_name("exported_rig.py")
UNSHARE = ("unshare", "--net", "--pid", "--fork", "--kill-child", "--mount-proc")
pytestmark = [pytest.mark.lab, pytest.mark.timeout(900)]
SPLIT = {
    "partitions": [
        {"role": "bios"},
        {"role": "esp", "size": "64M"},
        {"role": "boot", "size": "300M"},
        {"role": "swap", "size": "64M"},
        {"role": "root", "size": "3G", "fs": "xfs"},
        {"role": "data", "size": "grow", "mount": "/srv"},
    ]
}


def started(tmp_path: Path, firmware: str, target: str, layout: Layout) -> str:
    """What the machine says of itself."""
    store = seeded_store({"storage": "debian-12-vm-storage"}, print)
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "key")], check=True)
    plain = plain_machine("storage").node
    args = "console=tty0 console=ttyS0,115200n8"
    node = replace(plain, keys=((tmp_path / "key.pub").read_text().strip(),), kernel_args=args)
    disk = tmp_path / target
    export_image(ImageStore.open(store, create=False), "storage", disk, machine=Machine(node, layout))
    if disk.suffix == ".qcow2":
        raw = tmp_path / "raw"
        subprocess.run(["qemu-img", "convert", "-O", "raw", str(disk), str(raw)], check=True)
        disk = raw
    inside = [sys.executable, str(RIG), str(default_dir() / "imager"), str(store), str(tmp_path)]
    shell = 'ip link set lo up && exec "$@"'
    done = subprocess.run(
        [*UNSHARE, "sh", "-c", shell, "sh", *inside, firmware, str(disk)],
        capture_output=True, text=True, timeout=800, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    said: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    print(said)
    assert "timeout" not in said, said["timeout"]
    return str(said["text"])


def test_raw_boots_by_bios(tmp_path: Path) -> None:
    said = started(tmp_path, "bios", "vm.raw", default_layout())
    lines = said.splitlines()
    assert lines[0] == "storage" and lines[-1] == "asked" and "UEFI" not in lines
    assert "running" in lines, "no unit failed"
    assert "10.0.2.15/24" in said, "an address by DHCP, on whatever card it found"
    assert "/ /dev/vda4 ext4" in said and "/dev/vda3" in said.partition("Filename")[2], "root, and swap"


@pytest.mark.slow  # one of the two is enough for every run
def test_qcow2_boots_by_uefi_with_the_layout_of_its_image(tmp_path: Path) -> None:
    said = started(tmp_path, "uefi", "vm.qcow2", parse_layout(SPLIT))
    lines = said.splitlines()
    assert "UEFI" in lines and "running" in lines and lines[-1] == "asked"
    for row in ("/ /dev/vda5 xfs", "/boot /dev/vda3 ext4", "/boot/efi /dev/vda2 vfat", "/srv /dev/vda6 ext4"):
        assert row in lines, row
