"""What no tool would make: sizes, names and numbers that are refused when the layout is read, not on a node.

Sources: mkfs.xfs(8) and mkfs.btrfs(8) for least sizes (layout.py), UEFI specification 2.10 §5.3 (a table has
room for 128 partitions), lvm(8) "Valid names" and LVM's own check, which refuses two words at the beginning
and the rest anywhere. Pure. Python 3.8, standard library only.
"""

from __future__ import annotations

import re

from images.errors import BadInput
from images.layout import ALIGN, Layout, Partition, format_size, least_bytes

MOST_PARTITIONS = 128
_TAKEN_AT_START = ("snapshot", "pvmove")
_TAKEN = (
    "_cdata", "_cmeta", "_corig", "_cpool", "_cvol", "_wcorig", "_imeta", "_iorig", "_mimage", "_mlog",
    "_pmspare", "_rimage", "_rmeta", "_tdata", "_tmeta", "_vdata", "_vorigin",
)  # fmt: skip
# A volume group's name is a directory in /dev: these are there on every machine, or on some.
_DEVICES = re.compile(
    r"(mapper|disk|md|block|char|cpu|dri|fd|input|net|pts|shm|snd|vfio|mem|kmsg|null|zero|full|random|urandom"
    r"|console|core|log|rtc|nvram|fuse|kvm|(tty|dm|md|loop|ram|zram|nbd|sr|nvme|mmcblk)[0-9].*"
    r"|(sd|hd|vd|xvd)[a-z]{1,2}[0-9]*|std(in|out|err)|tty)\Z"
)


def check_limits(layout: Layout) -> None:
    """Raises BadInput at the first that is broken."""
    for number, partition in enumerate(layout.partitions, 1):
        _check_size(f"layout: partition {number} ({partition.role})", partition)
    for volume in layout.volumes:
        _check_size(f"layout: volume {volume.name} ({volume.partition.role})", volume.partition)
        if volume.name.startswith(_TAKEN_AT_START) or any(word in volume.name for word in _TAKEN):
            raise BadInput(f"layout: volume {volume.name}: LVM keeps this name for itself; choose another")
        if _DEVICES.match(volume.vg):
            said = f"there is a /dev/{volume.vg} on machines; choose another name"
            raise BadInput(f"layout: volume group {volume.vg}: {said}")
    labels = [p.label for p in layout.everything if p.label is not None]
    for label in labels:
        if labels.count(label) > 1:
            raise BadInput(f"layout: label {label!r} is given twice; a label names one file system")
    for match in layout.disks:
        if match.max_size and match.min_size > match.max_size:
            raise BadInput(
                f"layout: disk {match.name}: min_size {format_size(match.min_size)} is more than max_size "
                f"{format_size(match.max_size)}, so no disk fits"
            )
    for name in [match.name for match in layout.disks] or [""]:
        count = sum(not name or name in p.disks for p in layout.partitions)
        if count > MOST_PARTITIONS:
            said = f" on disk {name}" if name else ""
            raise BadInput(f"layout: {count} partitions{said}; a table has room for {MOST_PARTITIONS}")


def _check_size(where: str, p: Partition) -> None:
    least = least_bytes(p)
    if p.size.fixed and -(-p.size.fixed // ALIGN) * ALIGN < least:
        kind = p.fs if p.fs in ("xfs", "btrfs") else p.role
        raise BadInput(f"{where}: size {p.size} is too small; the least for {kind} is {format_size(least)}")
