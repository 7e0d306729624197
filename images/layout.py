"""What a disk shall look like: a declared layout, checked against the disk before anything is touched.

A layout is a list of partitions in disk order; one that carries both a BIOS boot partition and an ESP boots
either way. Sizes are bytes inside; in JSON or TOML they may be written "128M", "2G", "25%" or "grow".
The law: what `parse_layout` returns makes sense on some disk; whether on this one is diskplan's.
Pure; runs on nodes as well: Python 3.8, standard library only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from images.errors import BadInput

MIB = 1024 * 1024
GIB = 1024 * MIB
ALIGN = MIB  # what every partitioner of the last decade uses; a multiple of any erase block that matters
GPT_TAIL = MIB  # backup header and table (33 sectors of up to 4 KiB), rounded up
ROLES = ("bios", "esp", "swap", "boot", "root", "data")
FILESYSTEMS = {
    "bios": ("none",),
    "esp": ("vfat",),
    "swap": ("swap",),
    "boot": ("ext4", "xfs"),
    "root": ("ext4", "xfs"),
    "data": ("ext4", "xfs", "vfat", "none"),
}
# UEFI specification 2.10 §5.3.3. Root stays plain "Linux file system data": the node finds it by file
# system UUID, and nothing in an image can mistake it for something to mount by itself.
TYPE_GUID = {
    "bios": "21686148-6449-6E6F-744E-656564454649",
    "esp": "C12A7328-F81F-11D2-BA4B-00A0C93EC93B",
    "swap": "0657FD6D-A4AB-43C4-84E5-0933C84B4F4F",
    "boot": "0FC63DAF-8483-4772-8E79-3D69D8477DE4",
    "root": "0FC63DAF-8483-4772-8E79-3D69D8477DE4",
    "data": "0FC63DAF-8483-4772-8E79-3D69D8477DE4",
}
DEFAULT_MOUNT = {"esp": "/boot/efi", "boot": "/boot", "root": "/"}
MINIMUM = {"bios": MIB, "esp": 34 * MIB, "swap": 16 * MIB, "boot": 64 * MIB, "root": 32 * MIB, "data": MIB}
XFS_MINIMUM = 300 * MIB  # mkfs.xfs refuses less since 5.19


@dataclass(frozen=True)
class Size:
    """How much a partition takes: exactly one of bytes, percent of the disk, or all that is left."""

    fixed: int = 0  # bytes; 0 = not fixed
    percent: int = 0  # of the whole disk, 1..100; 0 = not a share
    grow: bool = False

    def __str__(self) -> str:
        if self.grow:
            return "grow"
        return f"{self.percent}%" if self.percent else format_size(self.fixed)


@dataclass(frozen=True)
class Partition:
    """One declared partition. `optional` ones are left out where the disk is too small for them."""

    role: str
    size: Size
    fs: str
    mount: str | None = None
    label: str | None = None
    optional: bool = False


@dataclass(frozen=True)
class Layout:
    """What is wanted, for any disk."""

    partitions: tuple[Partition, ...] = ()

    @property
    def root(self) -> Partition:
        return next(p for p in self.partitions if p.role == "root")


@dataclass(frozen=True)
class Extent:
    """One partition as it will be on this disk; start and size in bytes, aligned."""

    number: int  # as in /dev/vda1
    partition: Partition
    start: int
    size: int


@dataclass(frozen=True)
class DiskPlan:
    """Exactly what goes where on one disk."""

    disk_bytes: int
    sector: int
    extents: tuple[Extent, ...] = field(default=())

    def by_role(self, role: str) -> Extent | None:
        """The first partition with this role, or None."""
        return next((e for e in self.extents if e.partition.role == role), None)


def default_layout(root_fs: str = "ext4") -> Layout:
    """Boots BIOS and UEFI: BIOS boot 1 MiB, ESP 128 MiB, swap 512 MiB where it fits, root takes the rest."""
    return parse_layout(
        {
            "partitions": [
                {"role": "bios", "size": "1M"},
                {"role": "esp", "size": "128M"},
                {"role": "swap", "size": "512M", "optional": True},
                {"role": "root", "fs": root_fs, "size": "grow"},
            ]
        }
    )


def parse_layout(data: Mapping[str, Any]) -> Layout:
    """A layout from JSON or TOML. BadInput names the partition and the key."""
    unknown = set(data) - {"partitions", "table"}
    if unknown:
        raise BadInput(f"layout: unknown key {sorted(unknown)[0]!r}")
    if data.get("table", "gpt") != "gpt":
        raise BadInput("layout: only GPT partition tables are supported")
    rows = data.get("partitions")
    if not isinstance(rows, (list, tuple)) or not rows:
        raise BadInput("layout: 'partitions' must be a list with at least a root partition")
    layout = Layout(tuple(_parse_partition(i, row) for i, row in enumerate(rows, 1)))
    _check_whole(layout)
    return layout


def layout_to_json(layout: Layout) -> dict[str, Any]:
    """The form `parse_layout` reads."""
    rows: list[dict[str, Any]] = []
    for p in layout.partitions:
        row: dict[str, Any] = {"role": p.role, "size": str(p.size), "fs": p.fs}
        if p.mount is not None:
            row["mount"] = p.mount
        if p.label is not None:
            row["label"] = p.label
        if p.optional:
            row["optional"] = True
        rows.append(row)
    return {"partitions": rows}


def _parse_partition(number: int, row: Any) -> Partition:
    where = f"layout: partition {number}"
    if not isinstance(row, Mapping):
        raise BadInput(f"{where}: must be a table of keys")
    unknown = set(row) - {"role", "size", "fs", "mount", "label", "optional"}
    if unknown:
        raise BadInput(f"{where}: unknown key {sorted(unknown)[0]!r}")
    role = row.get("role")
    if role not in ROLES:
        raise BadInput(f"{where}: role {role!r} is none of {', '.join(ROLES)}")
    fs = row.get("fs") or FILESYSTEMS[role][0]
    if fs not in FILESYSTEMS[role]:
        raise BadInput(f"{where} ({role}): file system {fs!r} is none of {', '.join(FILESYSTEMS[role])}")
    mount = row.get("mount", DEFAULT_MOUNT.get(role))
    if mount is not None and not _good_mount(mount):
        raise BadInput(f"{where} ({role}): mount {mount!r} is not an absolute, plain path")
    if role == "root" and mount != "/":
        raise BadInput(f"{where} (root): is always mounted on /")
    label = row.get("label")
    if label is not None and not _good_label(label):
        raise BadInput(f"{where} ({role}): label must be 1 to 11 printable ASCII characters without quotes")
    size = parse_size(row.get("size", "1M" if role == "bios" else None), where)
    return Partition(role, size, fs, mount, label, bool(row.get("optional", False)))


def _good_label(label: Any) -> bool:
    """What every file system takes: VFAT's eleven characters; no quotes, for sfdisk's script."""
    if not isinstance(label, str) or not 0 < len(label) <= 11:
        return False
    return label.isascii() and label.isprintable() and not set(label) & set("\"\\'")


def _good_mount(mount: Any) -> bool:
    if not isinstance(mount, str) or not mount.startswith("/"):
        return False
    if any(c.isspace() or c in "\0\\\"'" for c in mount):
        return False
    return mount == "/" or all(part not in ("", ".", "..") for part in mount[1:].split("/"))


def parse_size(value: Any, where: str = "layout") -> Size:
    """Reads "512M", "2G", "25%", "grow", or a number of bytes. K, M, G, T are powers of 1024."""
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return Size(fixed=value)
    if isinstance(value, str):
        text = value.strip()
        if text == "grow":
            return Size(grow=True)
        if text.endswith("%") and text[:-1].isdecimal() and 1 <= int(text[:-1]) <= 100:
            return Size(percent=int(text[:-1]))
        unit = {"K": 1024, "M": MIB, "G": GIB, "T": 1024 * GIB}.get(text[-1:].upper(), 0)
        digits = text[:-1] if unit else text
        if digits.isdecimal() and int(digits) > 0:
            return Size(fixed=int(digits) * (unit or 1))
    raise BadInput(f"{where}: size {value!r} is not a size such as 512M, 2G, 25% or grow")


def _check_whole(layout: Layout) -> None:
    roles = [p.role for p in layout.partitions]
    if roles.count("root") != 1:
        raise BadInput("layout: there must be exactly one root partition")
    for role in ("bios", "esp", "boot"):
        if roles.count(role) > 1:
            raise BadInput(f"layout: more than one {role} partition")
    if "bios" not in roles and "esp" not in roles:
        raise BadInput("layout: neither a bios nor an esp partition, so no machine could boot from it")
    if sum(p.size.grow for p in layout.partitions) > 1:
        raise BadInput("layout: only one partition can grow")
    if any(p.optional and p.role in ("root", "bios", "esp", "boot") for p in layout.partitions):
        raise BadInput("layout: only swap and data partitions can be optional")
    mounts = [p.mount for p in layout.partitions if p.mount]
    if len(set(mounts)) != len(mounts):
        raise BadInput("layout: two partitions have the same mount point")


def format_size(n: int) -> str:
    """Exact where it can be ("512M"), for parse_size to read back."""
    for unit, width in (("T", 1024 * GIB), ("G", GIB), ("M", MIB), ("K", 1024)):
        if n >= width and n % width == 0:
            return f"{n // width}{unit}"
    return str(n)
