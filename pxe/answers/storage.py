"""The disks of an installed machine: partitions, RAID, LVM, encryption, as the installer shall make them.

Sizes are MiB, as in every installer. A partition's `name` is a mount point, `swap`, or what it is part of:
`raid.01` and `pv.01` are referred to by RAID arrays and volume groups.
"""

from __future__ import annotations

from typing import Annotated

from pxe.answers.text import Count, Device, Item, Line, Secret, Section, kind

Place = Annotated[
    str,
    kind(r"\A(/[^\s\x00-\x1f,'\"\\]*|[A-Za-z][A-Za-z0-9._+-]*)\Z", "a mount point, or swap, raid.N, pv.N"),
]


# What boot loaders need of a disk; where the dialect makes it on every disk, it is not made once more.
FOR_LOADERS = frozenset(("biosboot", "/boot/efi"))


class Luks(Section, frozen=True, kw_only=True):
    """Encryption. The passphrase is a reference into the server's secrets, never the text itself."""

    passphrase: Secret | None = None  # None: asked on the console
    version: Item | None = None  # "luks1", "luks2"
    cipher: Item | None = None


class Formatted(Section, frozen=True, kw_only=True):
    """What a partition, an array and a logical volume have in common."""

    filesystem: Item | None = None
    label: Line | None = None
    mount_options: Line | None = None
    format_options: Line | None = None
    profile: Line | None = None
    keep: bool = False  # used as it is, not formatted
    bytes_per_inode: Count | None = None
    luks: Luks | None = None


class Partition(Formatted, frozen=True, kw_only=True):
    """One partition. Without `size`: `recommended`, or an existing one (`on_partition`)."""

    name: Place
    size: Count | None = None
    grow: bool = False
    max_size: Count | None = None
    recommended: bool = False
    primary: bool = False
    disk: Device | None = None
    on_partition: Device | None = None
    bios_disk: Line | None = None
    start: Count | None = None
    end: Count | None = None
    bad_blocks: bool = False
    resize: bool = False
    type: Item | None = None
    active: bool = False


class Raid(Formatted, frozen=True, kw_only=True):
    """One array. `device` is md0 or a name; `members` are raid.* partitions."""

    name: Place
    device: Item
    level: Item | None = None  # "0", "1", "4", "5", "6", "10", or "RAID1"
    spares: Count | None = None
    existing: bool = False
    chunk: Count | None = None  # KiB
    members: tuple[Item, ...] = ()


class VolumeGroup(Section, frozen=True, kw_only=True):
    """A volume group on pv.* partitions or arrays."""

    name: Item
    members: tuple[Item, ...] = ()
    extent: Count | None = None  # KiB
    reserved: Count | None = None
    reserved_percent: Count | None = None
    existing: bool = False
    keep: bool = False


class Volume(Formatted, frozen=True, kw_only=True):
    """A logical volume."""

    mount: Place
    group: Item
    name: Item
    size: Count | None = None
    percent: Count | None = None
    grow: bool = False
    max_size: Count | None = None
    recommended: bool = False
    existing: bool = False
    thin: bool = False
    thin_pool: bool = False
    pool: Item | None = None
    resize: bool = False


class Automatic(Section, frozen=True, kw_only=True):
    """The installer's own layout."""

    type: Item | None = None  # "lvm", "plain", "thinp", "btrfs"
    filesystem: Item | None = None
    no_lvm: bool = False
    no_home: bool = False
    no_boot: bool = False
    no_swap: bool = False
    luks: Luks | None = None


class Clear(Section, frozen=True, kw_only=True):
    """What is removed first."""

    what: Item | None = None  # "all", "linux", "none"; None: only what is listed
    drives: tuple[Item, ...] = ()
    partitions: tuple[Item, ...] = ()
    init_label: bool = False
    label: Item | None = None  # "gpt", "msdos"


class Disks(Section, frozen=True, kw_only=True):
    """The whole plan; either `automatic` or the lists."""

    clear: Clear | None = None
    zero_mbr: bool = False
    ignore: tuple[Item, ...] = ()
    only: tuple[Item, ...] = ()
    required: bool = False  # make what the platform needs to boot (reqpart)
    required_boot: bool = False  # and a /boot
    automatic: Automatic | None = None
    partitions: tuple[Partition, ...] = ()
    raids: tuple[Raid, ...] = ()
    groups: tuple[VolumeGroup, ...] = ()
    volumes: tuple[Volume, ...] = ()
