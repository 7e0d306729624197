"""What the disks shall look like: a declared layout, checked before any disk is looked at.

A layout is a list of partitions in disk order; one that carries both a BIOS boot partition and an ESP boots
either way. Beside it: `disks` names several disks and says how each is found, `volumes` are logical volumes.
A partition may lie on several disks (`disks`, `raid`), be encrypted (`luks`), hold a volume group (`vg`).
Sizes are bytes inside; in JSON or TOML they may be written "128M", "2G", "25%" or "grow". Reading is in
layout_parse.py. Pure; runs on nodes as well: Python 3.8, standard library only.
"""

from __future__ import annotations

from dataclasses import dataclass, field

MIB = 1024 * 1024
GIB = 1024 * MIB
ALIGN = MIB  # what every partitioner of the last decade uses; a multiple of any erase block that matters
GPT_TAIL = MIB  # backup header and table (33 sectors of up to 4 KiB), rounded up
ROLES = ("bios", "esp", "swap", "boot", "root", "data", "lvm")
FILESYSTEMS = {
    "bios": ("none",),
    "esp": ("vfat",),
    "swap": ("swap",),
    "boot": ("ext4", "xfs"),
    "root": ("ext4", "xfs", "btrfs"),
    "data": ("ext4", "xfs", "btrfs", "vfat", "none"),
    "lvm": ("none",),
}
# UEFI specification 2.10 §5.3.3. Root stays plain "Linux file system data": the node finds it by file
# system UUID, and nothing in an image can mistake it for something to mount by itself.
LINUX_DATA = "0FC63DAF-8483-4772-8E79-3D69D8477DE4"
LINUX_RAID = "A19D880F-05FC-4D3B-A006-743F0F84911E"
TYPE_GUID = {
    "bios": "21686148-6449-6E6F-744E-656564454649",
    "esp": "C12A7328-F81F-11D2-BA4B-00A0C93EC93B",
    "swap": "0657FD6D-A4AB-43C4-84E5-0933C84B4F4F",
    "boot": LINUX_DATA,
    "root": LINUX_DATA,
    "data": LINUX_DATA,
    "lvm": "E6D6D379-F507-44C2-A23C-238F2A3DF928",
}
DEFAULT_MOUNT = {"esp": "/boot/efi", "boot": "/boot", "root": "/"}
MINIMUM = {
    "bios": MIB, "esp": 34 * MIB, "swap": 16 * MIB, "boot": 64 * MIB, "root": 32 * MIB, "data": MIB,
    "lvm": 16 * MIB,
}  # fmt: skip
XFS_MINIMUM = 300 * MIB  # mkfs.xfs refuses less since 5.19
BTRFS_MINIMUM = 256 * MIB  # with mixed groups it would take less, and be slow
RAID_DISKS = {0: 2, 1: 2, 5: 3, 10: 4}  # levels, and the least number of disks
UNLOCK = ("server", "passphrase")  # how an encrypted disk is opened at boot


@dataclass(frozen=True)
class Size:
    """How much a partition takes: exactly one of bytes, percent of the disk, or all that is left."""

    fixed: int = 0  # bytes; 0 = not fixed
    percent: int = 0  # of the whole disk (or volume group), 1..100; 0 = not a share
    grow: bool = False

    def __str__(self) -> str:
        if self.grow:
            return "grow"
        return f"{self.percent}%" if self.percent else format_size(self.fixed)


@dataclass(frozen=True)
class Partition:
    """One declared partition or volume. `optional` ones are left out where the disk is too small for them."""

    role: str
    size: Size
    fs: str
    mount: str | None = None
    label: str | None = None
    optional: bool = False
    keep: bool = False  # its content survives a reimage
    disks: tuple[str, ...] = ()  # names of the disks it lies on; () = the only one
    raid: int | None = None  # level of the array made of it
    luks: str | None = None  # one of UNLOCK
    vg: str | None = None  # role lvm: the volume group it belongs to
    least: int = 0  # bytes that lie on it at least; found by the planner, never declared


@dataclass(frozen=True)
class Volume:
    """A logical volume of a group."""

    vg: str
    name: str
    partition: Partition


@dataclass(frozen=True)
class DiskMatch:
    """How one named disk is found: everything that is given must hold."""

    name: str
    path: str | None = None
    serial: str | None = None
    model: str | None = None
    wwn: str | None = None
    position: int | None = None  # 1 is the first disk by name
    min_size: int = 0  # bytes
    max_size: int = 0  # bytes; 0 = no limit


@dataclass(frozen=True)
class Layout:
    """What is wanted, for any disk."""

    partitions: tuple[Partition, ...] = ()
    disks: tuple[DiskMatch, ...] = ()
    volumes: tuple[Volume, ...] = ()

    @property
    def everything(self) -> tuple[Partition, ...]:
        """Partitions and volumes alike."""
        return (*self.partitions, *(v.partition for v in self.volumes))

    @property
    def root(self) -> Partition:
        return next(p for p in self.everything if p.role == "root")


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


def least_bytes(p: Partition) -> int:
    """What its role and its file system need at least."""
    return max(MINIMUM[p.role], {"xfs": XFS_MINIMUM, "btrfs": BTRFS_MINIMUM}.get(p.fs, 0))


def format_size(n: int) -> str:
    """Exact where it can be ("512M"), for parse_size to read back."""
    for unit, width in (("T", 1024 * GIB), ("G", GIB), ("M", MIB), ("K", 1024)):
        if n >= width and n % width == 0:
            return f"{n // width}{unit}"
    return str(n)
