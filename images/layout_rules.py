"""What must hold for a layout as a whole: it can boot, and its rows fit together.

Each refusal is one line that names the key to change. Facts behind the rules: firmware reads ESPs without
knowing of RAID, and writes to them; GRUB reads LVM and md, but a LUKS2 volume (Argon2) it cannot open; an
array's members must be partitions of different disks. Pure. Python 3.8, standard library only.
"""

from __future__ import annotations

from images.errors import BadInput
from images.layout import RAID_DISKS, Layout, Partition
from images.layout_limits import check_limits
from images.layout_mounts import check_mount


def check_whole(layout: Layout) -> None:
    """Raises BadInput at the first rule that is broken."""
    _check_roles(layout)
    _check_disks(layout)
    for number, partition in enumerate(layout.partitions, 1):
        where = f"layout: partition {number} ({partition.role})"
        _check_partition(where, partition)
        check_mount(where, partition)
    for volume in layout.volumes:
        check_mount(f"layout: volume {volume.name} ({volume.partition.role})", volume.partition)
    check_limits(layout)
    _check_groups(layout)
    _check_boot(layout)
    _check_keep(layout)


def _check_roles(layout: Layout) -> None:
    roles = [p.role for p in layout.everything]
    if roles.count("root") != 1:
        raise BadInput("layout: there must be exactly one root partition")
    for role in ("bios", "esp", "boot"):
        if roles.count(role) > 1:
            raise BadInput(f"layout: more than one {role} partition")
    if "bios" not in roles and "esp" not in roles:
        raise BadInput("layout: neither a bios nor an esp partition, so no machine could boot from it")
    if any(p.optional and p.role not in ("swap", "data") for p in layout.partitions):
        raise BadInput("layout: only swap and data partitions can be optional")
    mounts = [p.mount for p in layout.everything if p.mount]
    if len(set(mounts)) != len(mounts):
        raise BadInput("layout: two partitions have the same mount point")


def _check_disks(layout: Layout) -> None:
    names = [d.name for d in layout.disks]
    if len(set(names)) != len(names):
        raise BadInput("layout: two disks have the same name")
    for name in names or [""]:
        here = [p for p in layout.partitions if not names or name in p.disks]
        where = f" on disk {name}" if name else ""
        if sum(p.size.grow for p in here) > 1:
            raise BadInput(f"layout: only one partition can grow{where}")
        if sum(p.size.percent for p in here) > 100:
            raise BadInput(f"layout: shares of more than 100%{where}")
        if not here:
            raise BadInput(f"layout: no partition lies on disk {name}")


def _check_partition(where: str, p: Partition) -> None:
    if p.raid is not None:
        if p.role in ("bios", "esp"):
            raise BadInput(f"{where}: raid is not for {p.role}: the firmware knows none; every disk gets one")
        if len(set(p.disks)) < RAID_DISKS[p.raid]:
            raise BadInput(f"{where}: raid {p.raid} needs {RAID_DISKS[p.raid]} disks, it has {len(p.disks)}")
        if p.optional:
            raise BadInput(f"{where}: an array cannot be optional")
    elif len(p.disks) > 1 and p.role not in ("bios", "esp", "lvm", "swap"):
        raise BadInput(f"{where}: disks names {len(p.disks)} disks, so it needs raid")
    if p.luks is not None and p.role in ("bios", "esp", "boot"):
        raise BadInput(f"{where}: luks is not for {p.role}: the firmware and GRUB must read it")
    if p.luks is not None and p.fs == "none" and p.role != "lvm":
        raise BadInput(f"{where}: luks without a file system")


def _check_groups(layout: Layout) -> None:
    groups = {p.vg for p in layout.partitions if p.vg is not None}
    for volume in layout.volumes:
        if volume.vg not in groups:
            raise BadInput(f"layout: volume {volume.name}: no partition has vg {volume.vg!r}")
    for group in sorted(groups):
        inside = [v for v in layout.volumes if v.vg == group]
        if not inside:
            raise BadInput(f"layout: volume group {group} has no volume")
        if len({v.name for v in inside}) != len(inside):
            raise BadInput(f"layout: volume group {group} has two volumes of the same name")
        if sum(v.partition.size.grow for v in inside) > 1:
            raise BadInput(f"layout: only one volume of {group} can grow")


def _check_boot(layout: Layout) -> None:
    """GRUB must reach /boot without a key."""
    if any(p.role == "boot" for p in layout.everything):
        return
    sealed = {p.vg for p in layout.partitions if p.luks and p.vg}
    groups = [v.vg for v in layout.volumes if v.partition.role == "root"]
    if layout.root.luks or set(groups) & sealed:
        raise BadInput("layout: root is encrypted, so it needs a boot partition that is not")


def _check_keep(layout: Layout) -> None:
    for p in layout.everything:
        if p.keep and p.role != "data":
            raise BadInput(f"layout: {p.role}: keep is for data, not for what belongs to the image")
    for p in layout.partitions:
        if p.keep and (not p.label or p.optional):
            raise BadInput("layout: data: keep needs a label, and cannot be optional")
