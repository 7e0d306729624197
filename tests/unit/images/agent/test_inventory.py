"""Inventory from a made-up sysfs: a server with NVMe, SATA behind a HBA, USB stick, two cards."""

import pytest

from images.agent.inventory import inventory
from images.disk_choice import choose_disk
from images.errors import BadInput
from images.layout import GIB


def put(root, path, text):
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(text if isinstance(text, bytes) else (text + "\n").encode())


def disk(root, name, bus, size, **more):
    real = root / "sys/devices" / bus / "block" / name
    put(real, "size", str(size // 512))
    put(real, "queue/rotational", more.get("rotational", "0"))
    put(real, "queue/logical_block_size", "512")
    put(real, "ro", more.get("ro", "0"))
    put(real, "removable", more.get("removable", "0"))
    for key in ("vendor", "model", "serial"):
        if key in more:
            put(real, f"device/{key}", more[key])
    (root / "sys/block").mkdir(parents=True, exist_ok=True)
    (root / "sys/block" / name).symlink_to(real)
    return real


@pytest.fixture
def machine(tmp_path):
    disk(tmp_path, "nvme0n1", "pci0/nvme/nvme0", 512 * GIB, model="Fast 512  ", serial="NV1")
    sda = disk(
        tmp_path, "sda", "pci0/ata1/host0/t/0", 100 * GIB, vendor="ATA     ", model="Spinner", rotational="1"
    )
    put(sda, "device/vpd_pg80", b"\0\x80\0\x08  WD-1234")
    disk(tmp_path, "sdb", "pci0/usb1/host1/t/0", 16 * GIB, vendor="Acme", model="Stick", removable="1")
    disk(
        tmp_path, "sdc", "pci0/host2/port/end_device-2:0/t", 60 * GIB, vendor="SEAGATE", model="ST60", ro="1"
    )
    disk(tmp_path, "loop0", "virtual", 1 * GIB)
    disk(tmp_path, "sr0", "pci0/ata2/host3", 1 * GIB)
    disk(tmp_path, "sdz", "pci0/ata4/host4", 0)
    for name, mac, physical in (("eth0", "52:54:00:AA:00:01", True), ("br0", "52:54:00:AA:00:01", False)):
        put(tmp_path, f"sys/class/net/{name}/address", mac)
        put(tmp_path, f"sys/class/net/{name}/type", "1")
        put(tmp_path, f"sys/class/net/{name}/carrier", "1")
        put(tmp_path, f"sys/class/net/{name}/speed", "-1")
        if physical:
            (tmp_path / f"sys/class/net/{name}/device").mkdir()
    put(tmp_path, "proc/meminfo", "MemTotal:        1024 kB")
    put(
        tmp_path,
        "proc/cpuinfo",
        "processor\t: 0\nmodel name\t: Test CPU\nprocessor\t: 1\nmodel name\t: Test CPU",
    )
    put(tmp_path, "sys/class/dmi/id/sys_vendor", "Dell Inc.")
    put(tmp_path, "sys/class/dmi/id/product_serial", "To Be Filled By O.E.M.")
    return tmp_path


def test_what_is_reported(machine):
    facts = inventory(machine, udev={"sdb": {"ID_SERIAL_SHORT": "USB9"}})
    assert facts["macs"] == ["52:54:00:aa:00:01"] and facts["interfaces"][0]["speed"] is None
    assert facts["interfaces"][0]["link"] is True
    by_path = {d["path"]: d for d in facts["disks"]}
    assert list(by_path) == ["/dev/nvme0n1", "/dev/sda", "/dev/sdb", "/dev/sdc"]
    assert by_path["/dev/nvme0n1"]["model"] == "Fast 512" and by_path["/dev/nvme0n1"]["serial"] == "NV1"
    sda = by_path["/dev/sda"]
    assert (sda["model"], sda["serial"], sda["rotational"], sda["transport"]) == (
        "Spinner",
        "WD-1234",
        True,
        "ata",
    )
    assert by_path["/dev/sdb"]["serial"] == "USB9" and by_path["/dev/sdb"]["transport"] == "usb"
    assert by_path["/dev/sdc"]["model"] == "SEAGATE ST60" and by_path["/dev/sdc"]["transport"] == "sas"
    assert (
        facts["memory"] == 1024 * 1024 and facts["cpu"]["count"] == 2 and facts["cpu"]["model"] == "Test CPU"
    )
    assert facts["dmi"]["vendor"] == "Dell Inc." and facts["dmi"]["serial"] is None
    assert facts["firmware"] == "bios" and facts["secure_boot"] is False


def test_uefi_and_secure_boot(machine):
    put(machine, "sys/firmware/efi/efivars/SecureBoot-8be4df61", b"\6\0\0\0\1")
    facts = inventory(machine)
    assert facts["firmware"] == "uefi" and facts["secure_boot"] is True


def test_an_empty_machine_is_no_error(tmp_path):
    facts = inventory(tmp_path)
    assert facts["disks"] == [] and facts["macs"] == [] and facts["memory"] == 0


def test_choice_of_disk(machine):
    found = inventory(machine)["disks"]
    assert choose_disk(found, None, 10 * GIB)["path"] == "/dev/sda"  # the stick is smaller, but removable
    assert choose_disk(found, None, 200 * GIB)["path"] == "/dev/nvme0n1"
    assert choose_disk(found, "serial:NV1", GIB)["path"] == "/dev/nvme0n1"
    assert choose_disk(found, "model:Spinner", GIB)["path"] == "/dev/sda"
    assert choose_disk(found, "/dev/sdb", GIB)["path"] == "/dev/sdb"


@pytest.mark.parametrize(
    ("wanted", "need", "why"),
    [
        (None, 900 * GIB, r"the image needs 900.0 GiB, this machine has /dev/nvme0n1 512.0 GiB, /dev/sda"),
        ("serial:nope", GIB, r"no disk serial:nope; this machine has /dev/nvme0n1 \(serial NV1\)"),
        ("/dev/sdc", GIB, "no disk /dev/sdc"),  # read-only
    ],
)
def test_no_disk_says_why(machine, wanted, need, why):
    with pytest.raises(BadInput, match=why):
        choose_disk(inventory(machine)["disks"], wanted, need)


def test_no_disk_at_all():
    with pytest.raises(BadInput, match=r"has no disk$"):
        choose_disk([], None, 1)
