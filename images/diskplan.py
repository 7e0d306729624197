"""From a declared layout and a real disk to exact extents, and to the script sfdisk reads.

The law: every number is decided here, before the disk is touched; "too small" names what is needed and what
is there. Optional partitions (swap) shrink to a sixteenth of a small disk and go where they do not fit.
Pure; runs on nodes as well: Python 3.8, standard library only. UEFI specification 2.10 §5 (GPT).
"""

from __future__ import annotations

from collections.abc import Sequence

from images.errors import BadInput
from images.layout import (
    ALIGN,
    GIB,
    GPT_TAIL,
    LINUX_RAID,
    TYPE_GUID,
    DiskPlan,
    Extent,
    Layout,
    Partition,
    least_bytes,
)
from images.sizes import human

TINY_DISK = 4 * GIB  # below this no optional partition
SMALL_DISK = 16 * GIB  # below this an optional partition takes at most a sixteenth
NAMES = {"bios": "bios-boot"}  # GPT name where it is not the role


def plan(
    layout: Layout, disk_bytes: int, sector: int = 512, root_bytes: int = 0, disk: str = "the disk"
) -> DiskPlan:
    """Extents for a disk of `disk_bytes`; `root_bytes` is what the image holds, plus file system overhead.

    Raises BadInput when it does not fit."""
    usable = (disk_bytes - GPT_TAIL) // ALIGN * ALIGN - ALIGN
    has_root = any(p.role == "root" for p in layout.partitions)
    need_root = root_minimum(layout, root_bytes) if has_root else 0
    wanted = _sizes(layout, disk_bytes, optional=disk_bytes >= TINY_DISK)
    if _least(wanted, need_root) > usable:
        wanted = _sizes(layout, disk_bytes, optional=False)
    if _least(wanted, need_root) > usable:
        raise BadInput(
            f"{disk} is too small: it has {human(disk_bytes)}, the layout and the image need at least "
            f"{human(_least(wanted, need_root) + 2 * ALIGN)}"
        )
    left = usable - sum(size for _, size in wanted if size is not None)
    start, extents = ALIGN, []
    for number, (partition, size) in enumerate(wanted, 1):
        actual = left if size is None else size
        needed = need_root if partition.role == "root" else partition.least
        if actual < needed:
            raise BadInput(
                f"the {partition.role} partition is too small: the layout gives it {human(actual)}, "
                f"the image needs at least {human(needed)}"
            )
        extents.append(Extent(number, partition, start, actual))
        start += actual
    return DiskPlan(disk_bytes, sector, tuple(extents))


def _least(wanted: list[tuple[Partition, int | None]], need_root: int) -> int:
    """Bytes that these partitions take at least; one that grows counts with its floor."""
    floors = (
        need_root if p.role == "root" else max(least_bytes(p), p.least) for p, size in wanted if size is None
    )
    return sum(size for _, size in wanted if size is not None) + sum(floors)


def root_minimum(layout: Layout, root_bytes: int) -> int:
    """The least root partition for an image of `root_bytes`: a tenth more for inodes and journal."""
    root = layout.root
    if root.least:  # decided already: one of an array's members
        return root.least
    return _round_up(max(with_overhead(root_bytes), least_bytes(root)))


def with_overhead(root_bytes: int) -> int:
    """What a file system for this much takes."""
    return root_bytes + root_bytes // 10 + 64 * 1024 * 1024


def smallest_disk(layout: Layout, root_bytes: int) -> int:
    """The least number of bytes a disk must have for `plan` to succeed (optional partitions left out)."""
    fixed = sum(_round_up(p.size.fixed) for p in layout.partitions if p.size.fixed and not p.optional)
    share = sum(p.size.percent for p in layout.partitions if not p.optional)
    grows = sum(
        root_minimum(layout, root_bytes) if p.role == "root" else max(least_bytes(p), p.least)
        for p in layout.partitions
        if p.size.grow
    )
    return (fixed + grows + 2 * ALIGN + GPT_TAIL) * 100 // max(1, 100 - share)


def _sizes(layout: Layout, disk_bytes: int, optional: bool) -> list[tuple[Partition, int | None]]:
    """Bytes per partition, None for the one that grows; optional ones scaled, or dropped."""
    rows: list[tuple[Partition, int | None]] = []
    for p in layout.partitions:
        if p.optional and not optional:
            continue
        if p.size.grow:
            rows.append((p, None))
            continue
        size = p.size.fixed or disk_bytes * p.size.percent // 100
        if p.optional and disk_bytes < SMALL_DISK:
            size = min(size, disk_bytes // 16)
        size = _round_up(size) if p.size.fixed else size // ALIGN * ALIGN
        if size < least_bytes(p):
            raise BadInput(
                f"the {p.role} partition is too small: {human(size)}, the least is {human(least_bytes(p))}"
            )
        rows.append((p, size))
    return rows


def _round_up(n: int) -> int:
    return (n + ALIGN - 1) // ALIGN * ALIGN


def sfdisk_script(disk_plan: DiskPlan, disk_guid: str, part_guids: Sequence[str]) -> str:
    """Input for `sfdisk`: a fresh GPT with our GUIDs, so that later steps know them without asking udev."""
    sector = disk_plan.sector
    lines = ["label: gpt", f"label-id: {disk_guid.upper()}", "unit: sectors", f"sector-size: {sector}", ""]
    for extent in disk_plan.extents:
        p, guid = extent.partition, part_guids[extent.number - 1]
        lines.append(
            f"start={extent.start // sector}, size={extent.size // sector}, type={type_guid(p)}, "
            f'uuid={guid.upper()}, name="{gpt_name(p)}"'
        )
    return "\n".join(lines) + "\n"


def type_guid(p: Partition) -> str:
    """Its GPT type."""
    return LINUX_RAID if p.raid is not None else TYPE_GUID[p.role]


def gpt_name(p: Partition) -> str:
    """Its GPT name: the label, or what it is for."""
    return p.label or p.vg or NAMES.get(p.role, p.role)


def partition_path(disk: str, number: int) -> str:
    """/dev/vda -> /dev/vda1, /dev/nvme0n1 -> /dev/nvme0n1p1 (a name that ends in a digit takes a `p`)."""
    return f"{disk}p{number}" if disk[-1:].isdigit() else f"{disk}{number}"
