"""What this machine is: network cards, disks, memory, processor, maker and serial numbers, firmware kind.

Read from sysfs and DMI; udev's database (through pyudev) adds what only it knows, such as an ATA disk's
serial. Every field may be missing on some machine: the law is that a missing or unreadable one becomes None
or 0 and never stops the inventory. Sizes are bytes. Python 3.8, standard library only (pyudev where there
is one).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Mapping

ROOT = Path("/")
SKIP = ("loop", "ram", "zram", "sr", "fd", "dm-", "md", "nbd")
DMI = {
    "vendor": "sys_vendor",
    "product": "product_name",
    "version": "product_version",
    "serial": "product_serial",
    "uuid": "product_uuid",
    "bios_version": "bios_version",
    "asset_tag": "chassis_asset_tag",
}
NAMELESS = ("", "none", "not specified", "to be filled by o.e.m.", "default string", "system serial number")
Properties = Mapping[str, str]


def inventory(root: Path = ROOT, udev: Mapping[str, Properties] | None = None) -> dict[str, Any]:
    """All facts, in the form the node API takes.

    `root` is / except in tests; `udev` as `udev_disks` gives it.
    """
    interfaces = list(_interfaces(root))
    return {
        "macs": [i["mac"] for i in interfaces],
        "interfaces": interfaces,
        "disks": disks(root, udev),
        "memory": _memory(root),
        "cpu": _cpu(root),
        "dmi": _dmi(root),
        "firmware": "uefi" if (root / "sys/firmware/efi").is_dir() else "bios",
        "secure_boot": _secure_boot(root),
        "kernel": os.uname().release,
    }


def disks(root: Path = ROOT, udev: Mapping[str, Properties] | None = None) -> list[dict[str, Any]]:
    """Disks an image could go to, in order of name. Neither optical drives nor memory or mapped devices."""
    found = []
    for folder in _list(root / "sys/block"):
        size = _number(folder / "size") * 512
        if folder.name.startswith(SKIP) or size == 0:
            continue
        if folder.name.startswith("mmcblk") and folder.name.endswith(("boot0", "boot1", "rpmb")):
            continue
        found.append(_disk(folder, size, (udev or {}).get(folder.name, {})))
    return found


def _disk(folder: Path, size: int, known: Properties) -> dict[str, Any]:
    vendor, model = _text(folder / "device/vendor"), _text(folder / "device/model")
    if vendor in (None, "ATA") or (vendor or "").startswith("0x"):
        vendor = None
    name = " ".join(part for part in (vendor, model) if part) or known.get("ID_MODEL", "").replace("_", " ")
    serial = (
        _text(folder / "serial") or _text(folder / "device/serial") or _vpd_serial(folder / "device/vpd_pg80")
    )
    return {
        "path": f"/dev/{folder.name}",
        "size": size,
        "model": name or None,
        "serial": known.get("ID_SERIAL_SHORT") or serial,
        "wwn": _text(folder / "wwid") or _text(folder / "device/wwid") or known.get("ID_WWN"),
        "rotational": _number(folder / "queue/rotational") == 1,
        "transport": _transport(folder, known),
        "read_only": _number(folder / "ro") == 1,
        "removable": _number(folder / "removable") == 1,
        "sector": _number(folder / "queue/logical_block_size") or 512,
    }


def _transport(folder: Path, known: Properties) -> str | None:
    """How the disk is attached: nvme, virtio, usb, ata, sas, scsi, mmc."""
    if folder.name.startswith("nvme"):
        return "nvme"
    if folder.name.startswith("mmcblk"):
        return "mmc"
    path = os.path.realpath(str(folder))
    for mark, name in (("/usb", "usb"), ("/ata", "ata"), ("/end_device-", "sas")):
        if mark in path:
            return name
    if "/virtio" in path:
        return "virtio"
    return known.get("ID_BUS") or ("scsi" if "/host" in path else None)


def udev_disks() -> dict[str, Properties]:
    """udev's properties of each disk, by kernel name; empty where there is no pyudev or no udev."""
    packages = "/usr/lib/python3/dist-packages"
    if packages not in sys.path:
        sys.path.append(packages)
    try:
        import pyudev
    except ImportError:
        return {}
    devices = pyudev.Context().list_devices(subsystem="block", DEVTYPE="disk")
    return {device.sys_name: dict(device.properties) for device in devices}


def _interfaces(root: Path) -> Iterator[dict[str, Any]]:
    """Physical cards: those with a device behind them and an Ethernet address."""
    for folder in _list(root / "sys/class/net"):
        mac = (_text(folder / "address") or "").lower()
        if not (folder / "device").exists() or _number(folder / "type") != 1 or len(mac) != 17:
            continue
        driver = folder / "device/driver"
        speed = _number(folder / "speed")
        yield {
            "name": folder.name,
            "mac": mac,
            "driver": Path(os.path.realpath(str(driver))).name if driver.exists() else None,
            "speed": speed if 0 < speed < 10_000_000 else None,  # Mbit/s; unknown is -1 or 4294967295
            "link": _text(folder / "carrier") == "1",
        }


def _memory(root: Path) -> int:
    for line in (_text(root / "proc/meminfo") or "").splitlines():
        if line.startswith("MemTotal:"):
            return int(line.split()[1]) * 1024
    return 0


def _cpu(root: Path) -> dict[str, Any]:
    model, count = None, 0
    for line in (_text(root / "proc/cpuinfo") or "").splitlines():
        key, _, value = (part.strip() for part in line.partition(":"))
        count += key == "processor"
        model = model or (value if key == "model name" else None)
    return {"model": model, "count": count or os.cpu_count() or 1, "arch": os.uname().machine}


def _dmi(root: Path) -> dict[str, str | None]:
    """Maker's data. What makers write when they write nothing ("To Be Filled By O.E.M.") is None."""
    found = {key: _text(root / "sys/class/dmi/id" / name) for key, name in DMI.items()}
    return {key: None if (value or "").strip().lower() in NAMELESS else value for key, value in found.items()}


def _secure_boot(root: Path) -> bool:
    for path in (root / "sys/firmware/efi/efivars").glob("SecureBoot-*"):
        return path.read_bytes()[4:5] == b"\x01"
    return False


def _vpd_serial(path: Path) -> str | None:
    """Unit serial number page (SPC-4 §7.8.15): four bytes of header, then text."""
    try:
        raw = path.read_bytes()
    except OSError:
        return None
    return raw[4:].decode("ascii", "replace").strip("\0 ") or None


def _list(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _text(path: Path) -> str | None:
    try:
        return path.read_bytes().decode("utf-8", "replace").strip("\0 \n\t") or None
    except OSError:  # sysfs answers with an error where a driver has nothing to say
        return None


def _number(path: Path) -> int:
    text = _text(path)
    try:
        return int(text) if text is not None else 0
    except ValueError:
        return 0
