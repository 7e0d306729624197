"""Debian's own installer makes the disks of a profile: LVM on LUKS, and LVM on RAID 1, on machines with real
firmware. What was made is told by the installer's kernel and tools, when it goes on to the base system.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

import pytest
from debian_larder import DISKS
from install_field import BASIC, Field, when
from kept import keep

from bootsrv.lab.firmware import Firmware
from bootsrv.lab.lab import Lab
from bootsrv.lab.machine import Machine

pytestmark = [pytest.mark.lab, pytest.mark.slow, pytest.mark.timeout(1500)]
PASSPHRASE = "open 'sesame' now"
VOLUMES = """
[[disks.groups]]
name = "farm"
members = ["pv.1"]

[[disks.volumes]]
mount = "swap"
group = "farm"
name = "pages"
size = 200

[[disks.volumes]]
mount = "/"
group = "farm"
name = "system"
size = 1000
grow = true
mount_options = "noatime"
label = "top"
"""
LOCKED = """
[[disks.partitions]]
name = "/boot"
size = 300
filesystem = "ext3"

[[disks.partitions]]
name = "pv.1"
size = 1500
grow = true
luks = { passphrase = "secret:lock" }
"""
ARRAYS = """
[[disks.partitions]]
name = "raid.1"
size = 300
disk = "vda"

[[disks.partitions]]
name = "raid.2"
size = 300
disk = "vdb"

[[disks.partitions]]
name = "raid.3"
size = 1500
grow = true
disk = "vda"

[[disks.partitions]]
name = "raid.4"
size = 1500
grow = true
disk = "vdb"

[[disks.raids]]
name = "/boot"
device = "md0"
level = "1"
members = ["raid.1", "raid.2"]

[[disks.raids]]
name = "pv.1"
device = "md1"
level = "1"
members = ["raid.3", "raid.4"]
"""
TELLS = when(
    "Menu item .bootstrap-base. selected",
    "cat /proc/mounts /proc/mdstat; pvs --noheadings -o pv_name,vg_name; "
    "lvs --noheadings --units m --nosuffix -o vg_name,lv_name,lv_size; dmsetup ls --target crypt; "
    "for part in /dev/vd*[0-9]; do cryptsetup isLuks $part && echo $part is locked && "
    f'printf %s "{PASSPHRASE}" | cryptsetup open --test-passphrase --key-file - $part && echo it opens; '
    "done; echo told",
)


@pytest.fixture
def field() -> Iterator[Field]:
    with Lab() as lab:
        made = Field(lab, "lab-disks", DISKS)
        made.verbs.profiles.secrets.set("lock", PASSPHRASE)
        try:
            yield made
        finally:
            keep(lab)
            made.upstream.close()


def made_by(field: Field, machine: Machine) -> str:
    """What the installer told of its disks."""
    field.wait(machine, "install.step", "base system", 1200)
    ends = time.monotonic() + 120
    while "\ntold\n" not in field.log():
        assert time.monotonic() < ends, field.log()[-3000:]
        time.sleep(1)
    machine.cut()
    return field.log()


def mounted(told: str) -> dict[str, str]:
    """Device by mount point."""
    return {
        found[2]: found[1] for found in re.finditer(r"^(/dev/\S+) (/target\S*) \S+ r", told, re.MULTILINE)
    }


def test_a_volume_group_on_an_encrypted_partition(field: Field) -> None:
    machine = field.started(Firmware.BIOS, BASIC + LOCKED + VOLUMES + TELLS, memory=2048, disk=3072)
    told = made_by(field, machine)
    assert mounted(told) == {
        "/target": "/dev/mapper/farm-system", "/target/boot": "/dev/vda3", "/target/boot/efi": "/dev/vda2",
    }  # fmt: skip
    # Nothing of the group lies beside the encryption.
    assert re.findall(r"^\s*(\S+)\s+farm$", told, re.MULTILINE) == ["/dev/mapper/vda4_crypt"]
    assert re.findall(r"^(/dev/\S+) is locked\nit opens$", told, re.MULTILINE) == ["/dev/vda4"]
    sizes = {
        name: float(size) for name, size in re.findall(r"^\s*farm\s+(\S+)\s+([0-9.]+)$", told, re.MULTILINE)
    }
    assert abs(sizes["pages"] - 200) < 10 and sizes["system"] > 1800
    assert re.search(r"^/dev/mapper/farm-system /target ext4 \S*noatime", told, re.MULTILINE), told
    assert re.search(r"^/dev/vda3 /target/boot ext3 ", told, re.MULTILINE), told


def test_a_volume_group_on_an_array_of_two_disks(field: Field) -> None:
    machine = field.started(Firmware.UEFI, BASIC + ARRAYS + VOLUMES + TELLS, memory=2048, disk=3072, disks=2)
    told = made_by(field, machine)
    found = mounted(told)
    assert found["/target"] == "/dev/mapper/farm-system" and found["/target/boot"] == "/dev/md0"
    assert re.fullmatch("/dev/vd[ab]2", found["/target/boot/efi"])
    arrays = {
        name: set(parts.split())
        for name, parts in re.findall(r"^(md\d+) : active (?:\(\S+\) )?raid1 (.*)$", told, re.MULTILINE)
    }
    plain = {name: {part.partition("[")[0] for part in parts} for name, parts in arrays.items()}
    assert plain == {"md0": {"vda3", "vdb3"}, "md1": {"vda4", "vdb4"}}
    assert re.findall(r"^\s*(\S+)\s+farm$", told, re.MULTILINE) == ["/dev/md1"]
