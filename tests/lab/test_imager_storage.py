"""Layouts with arrays, encryption and volume groups: imaged by the real imager, started from the disks."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bootsrv.lab.seed import plant, seeded_store
from bootsrv.payloads import default_dir

RIG = Path(__file__).with_name("storage_rig.py")
KEPT = Path(__file__).parents[2] / "build" / "log" / "lab"
UNSHARE = ("unshare", "--net", "--pid", "--fork", "--kill-child", "--mount-proc")
pytestmark = [pytest.mark.lab, pytest.mark.timeout(1500)]

BIOS, ESP = {"role": "bios"}, {"role": "esp", "size": "64M"}
BOOT = {"role": "boot", "size": "300M"}
DATA = {"role": "data", "disks": ["data"]}


def disks(count: int) -> list[dict[str, Any]]:
    return [{"name": f"d{n}", "serial": f"RIG{n}"} for n in range(1, count + 1)]


def told(tmp_path: Path, name: str, firmware: str, sizes: str, steps: list[Any]) -> dict[str, Any]:
    """All that the machine and its system said."""
    recipes = {"storage": "debian-12-vm-storage", "debian": "debian-12-vm", "debian-b": "debian-12-vm-b"}
    store = seeded_store(recipes, print)
    if any("capture" in step for step in steps):  # it gets another version, so it is not the kept one
        plant(store, tmp_path / "data")
        store = tmp_path / "data" / "store"
    inside = [sys.executable, str(RIG), str(default_dir() / "imager"), str(store), str(tmp_path)]
    shell = 'ip link set lo up && exec "$@"'
    done = subprocess.run(
        [*UNSHARE, "sh", "-c", shell, "sh", *inside, firmware, sizes, json.dumps(steps)],
        capture_output=True, text=True, timeout=1400, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    said: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    KEPT.mkdir(parents=True, exist_ok=True)
    (KEPT / f"storage-{name}.json").write_text(json.dumps(said, indent=1))
    assert "timeout" not in said, (said["timeout"], said["log"][-20:])
    return said


def test_a_mirrored_encrypted_volume_group_opens_by_itself(tmp_path: Path) -> None:
    layout = {
        "disks": disks(2),
        "partitions": [
            BIOS, ESP, {**BOOT, "raid": 1},
            {"role": "lvm", "vg": "vg0", "size": "grow", "raid": 1, "luks": "server"},
        ],
        "volumes": [
            {"vg": "vg0", "name": "root", "role": "root", "size": "grow"},
            {"vg": "vg0", "name": "swap", "role": "swap", "size": "128M"},
        ],
    }  # fmt: skip
    said = told(tmp_path, "luks", "bios", "3G,3G", [{"image": layout}, {"run": None}])
    imaged, system = said["found"]
    assert imaged["kind"] == "deploy.done", imaged["text"]
    assert system.startswith("/dev/mapper/vg0-root ext4") and "vg0-swap" in system
    assert system.count("raid1") >= 2 and " crypt" in system and "failed" not in system
    assert said["keys"] == 1, "the initramfs fetched the key, and nobody typed anything"


@pytest.mark.slow
def test_uefi_starts_from_the_second_disk_when_the_first_is_gone(tmp_path: Path) -> None:
    layout = {
        "disks": disks(2),
        "partitions": [BIOS, ESP, {"role": "lvm", "vg": "vg0", "size": "grow", "raid": 1}],
        "volumes": [{"vg": "vg0", "name": "root", "role": "root", "size": "grow", "fs": "xfs"}],
    }
    steps = [{"image": layout}, {"run": 0}]
    imaged, system = told(tmp_path, "uefi", "uefi", "3G,3G", steps)["found"]
    assert imaged["kind"] == "deploy.done", imaged["text"]
    assert system.startswith("/dev/mapper/vg0-root xfs") and "UEFI" in system
    assert "[_U]" in system, "one of the two is missing"


LEVELS = {"raid0": (0, 2), "raid5": (5, 3), "raid10": (10, 4)}


@pytest.mark.slow
@pytest.mark.parametrize("name", LEVELS)
def test_other_levels(tmp_path: Path, name: str) -> None:
    level, count = LEVELS[name]
    rows = [BIOS, {**BOOT, "raid": 1}, {"role": "root", "size": "grow", "raid": level, "fs": "ext4"}]
    steps: list[Any] = [{"image": {"disks": disks(count), "partitions": rows}}, {"run": None}]
    steps += [{"capture": None}] if name == "raid5" else []  # one of them is enough
    imaged, system, *captured = told(tmp_path, name, "bios", ",".join(["2G"] * count), steps)["found"]
    assert imaged["kind"] == "deploy.done", imaged["text"]
    assert system.startswith("/dev/md") and name in system
    for made in captured:  # with /boot, from its own array
        assert made["ref"] == "golden@1" and made["warnings"] in (None, []), made
        kernel, *others = made["names"]
        assert kernel.startswith("boot/vmlinuz") and others == ["etc/debian_version"]


@pytest.mark.slow
def test_btrfs_and_data_that_outlives_a_reimage(tmp_path: Path) -> None:
    data = {"role": "data", "size": "300M", "mount": "/srv", "label": "KEEPME", "keep": True, "fs": "ext4"}
    rows = [BIOS, ESP, data, {"role": "root", "size": "grow", "fs": "btrfs"}]
    moved = [BIOS, {**ESP, "size": "80M"}, data, {"role": "root", "size": "grow", "fs": "btrfs"}]
    steps = [
        {"image": {"partitions": rows}},
        {"run": None, "command": "findmnt -nro FSTYPE /; echo precious >/srv/kept; sync"},
        {"image": {"partitions": moved}},
        {"image": {"partitions": rows}},
        {"run": None},
        {"image": {"partitions": moved}, "wipe": True},
    ]
    found = told(tmp_path, "keep", "bios", "3G", steps)["found"]
    first, fs, refused, again, system, wiped = found
    assert first["kind"] == "deploy.done" and fs.startswith("btrfs")
    assert refused["kind"] == "deploy.failed" and "'KEEPME' is to be kept" in refused["text"]
    assert "partition 2 has size" in refused["text"]
    assert again["kind"] == "deploy.done" and again["data"]["fetched"] < first["data"]["fetched"] / 10
    assert "precious" in system
    assert wiped["kind"] == "deploy.done"


@pytest.mark.slow
def test_a_volume_on_an_encrypted_mirror_outlives_a_reimage(tmp_path: Path) -> None:
    layout = {
        "disks": disks(2),
        "partitions": [
            BIOS, ESP, {**BOOT, "raid": 1},
            {"role": "lvm", "vg": "vg0", "size": "grow", "raid": 1, "luks": "server"},
        ],
        "volumes": [
            {"vg": "vg0", "name": "root", "role": "root", "size": "2G"},
            {"vg": "vg0", "name": "photos", "role": "data", "size": "grow", "mount": "/srv", "keep": True},
        ],
    }  # fmt: skip
    smaller = [{**layout["volumes"][0], "size": "1900M"}, layout["volumes"][1]]  # type: ignore[dict-item]
    steps = [
        {"image": layout},
        {"run": None, "command": "findmnt -nro SOURCE,FSTYPE /srv; echo precious >/srv/kept; sync"},
        {"image": {**layout, "volumes": smaller}},
        {"image": layout},
        {"run": None},
    ]
    first, system, refused, again, kept = told(tmp_path, "keep-lv", "bios", "4G,4G", steps)["found"]
    assert first["kind"] == "deploy.done" and system.startswith("/dev/mapper/vg0-photos ext4")
    assert refused["kind"] == "deploy.failed" and "/dev/vg0/photos is to be kept" in refused["text"]
    assert again["kind"] == "deploy.done" and again["data"]["fetched"] < first["data"]["fetched"] / 10
    assert "precious" in kept


@pytest.mark.slow
def test_a_reimage_that_was_cut_goes_on_with_what_is_there(tmp_path: Path) -> None:
    steps = [
        {"image": None, "ref": "debian"},
        {"image": None, "ref": "debian-b", "cut": "deploy.format"},
        {"image": None, "ref": "debian-b"},
        {"run": None, "command": "cat /etc/bootsrv-edition; ls -A /"},
    ]
    first, cut, again, system = told(tmp_path, "cut", "bios", "3G", steps)["found"]
    assert first["kind"] == again["kind"] == "deploy.done"
    assert cut == {"kind": "cut", "bootable": False}
    assert again["data"]["fetched"] < first["data"]["fetched"] / 4
    assert again["data"]["seeded"] > again["data"]["bytes"] / 2
    assert system.startswith("second") and ".bootsrv-old" not in system


@pytest.mark.slow
def test_a_typed_passphrase_opens_the_root_and_its_key_a_capture(tmp_path: Path) -> None:
    rows = [BIOS, BOOT, {"role": "root", "size": "grow", "luks": "passphrase", "fs": "xfs"}]
    steps = [{"image": {"partitions": rows}}, {"run": None, "typed": True}, {"capture": None}]
    said = told(tmp_path, "typed", "bios", "3G", steps)
    imaged, system, made = said["found"]
    assert imaged["kind"] == "deploy.done", imaged["text"]
    assert system.startswith("/dev/mapper/crypt-root") and " xfs" in system.splitlines()[0]
    assert said["keys"] == 0, "nobody asked the server"
    assert made["ref"] == "golden@1" and not made["warnings"], made
    assert "etc/debian_version" in made["names"] and any("vmlinuz" in name for name in made["names"])


@pytest.mark.slow
def test_shares_and_vfat_on_disks_by_size_and_position(tmp_path: Path) -> None:
    """The system on the second disk by its place; a data disk by its size; parts of both in percent."""
    layout = {
        "disks": [{"name": "system", "position": 2}, {"name": "data", "min_size": "3500M"}],
        "partitions": [
            {**BIOS, "disks": ["system"]}, {**ESP, "disks": ["system"]},
            {"role": "swap", "size": "5%", "disks": ["system"]},
            {"role": "root", "size": "grow", "fs": "ext4", "disks": ["system"]},
            {**DATA, "size": "25%", "fs": "vfat", "mount": "/exchange", "label": "XCHG"},
            {**DATA, "size": "grow", "fs": "btrfs", "mount": "/srv"},
        ],
    }  # fmt: skip
    ask = (
        "findmnt -nro SOURCE,FSTYPE /; findmnt -nro SOURCE,FSTYPE /exchange; findmnt -nro SOURCE,FSTYPE /srv;"
        " lsblk -bnro NAME,SIZE; cat /proc/swaps; systemctl --failed --no-legend"
    )
    steps = [{"image": layout}, {"run": None, "command": ask}]
    imaged, system = told(tmp_path, "mixed", "uefi", "2G,3G,4G", steps)["found"]
    assert imaged["kind"] == "deploy.done", imaged["text"]
    assert system.splitlines()[:3] == ["/dev/vdb4 ext4", "/dev/vdc1 vfat", "/dev/vdc2 btrfs"]
    sizes = dict(line.split() for line in system.splitlines() if line.startswith("vd"))
    assert int(sizes["vdb3"]) == (3 << 30) * 5 // 100 >> 20 << 20 and int(sizes["vdc1"]) == 1 << 30
    assert "/dev/vdb3" in system and "failed" not in system
