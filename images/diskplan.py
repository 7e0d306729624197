"""From a declared layout and a real disk to exact extents, and to the script sfdisk reads.

The law: every number is decided here, before the disk is touched; "too small" names what is needed and what
is there. Optional partitions (swap) shrink to a sixteenth of a small disk and go where they do not fit.
Pure; runs on nodes as well: Python 3.8, standard library only. UEFI specification 2.10 §5 (GPT).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from images.errors import BadInput
from images.layout import (
    ALIGN,
    GIB,
    GPT_TAIL,
    MINIMUM,
    TYPE_GUID,
    XFS_MINIMUM,
    DiskPlan,
    Extent,
    Layout,
    Partition,
)
from images.sizes import human

TINY_DISK = 4 * GIB  # below this no optional partition
SMALL_DISK = 16 * GIB  # below this an optional partition takes at most a sixteenth
NAMES = {"bios": "bios-boot", "esp": "esp", "swap": "swap", "boot": "boot", "root": "root", "data": "data"}


def plan(
    layout: Layout, disk_bytes: int, sector: int = 512, root_bytes: int = 0, disk: str = "the disk"
) -> DiskPlan:
    """Extents for a disk of `disk_bytes`; `root_bytes` is what the image holds, plus file system overhead.

    Raises BadInput when it does not fit."""
    usable = (disk_bytes - GPT_TAIL) // ALIGN * ALIGN - ALIGN
    need_root = root_minimum(layout, root_bytes)
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
        if partition.role == "root" and actual < need_root:
            raise BadInput(
                f"the root partition is too small: the layout gives it {human(actual)}, "
                f"the image needs at least {human(need_root)}"
            )
        extents.append(Extent(number, partition, start, actual))
        start += actual
    return DiskPlan(disk_bytes, sector, tuple(extents))


def _least(wanted: list[tuple[Partition, int | None]], need_root: int) -> int:
    """Bytes that these partitions take at least; one that grows counts with its floor."""
    floors = (need_root if p.role == "root" else _floor(p) for p, size in wanted if size is None)
    return sum(size for _, size in wanted if size is not None) + sum(floors)


def root_minimum(layout: Layout, root_bytes: int) -> int:
    """The least root partition for an image of `root_bytes`: a tenth more for inodes and journal."""
    need = root_bytes + root_bytes // 10 + 64 * 1024 * 1024
    floor = _floor(layout.root)
    return _round_up(max(need, floor))


def smallest_disk(layout: Layout, root_bytes: int) -> int:
    """The least number of bytes a disk must have for `plan` to succeed (optional partitions left out)."""
    fixed = sum(_round_up(p.size.fixed) for p in layout.partitions if p.size.fixed and not p.optional)
    share = sum(p.size.percent for p in layout.partitions if not p.optional)
    grows = root_minimum(layout, root_bytes) if layout.root.size.grow else 0
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
        if size < _floor(p):
            raise BadInput(
                f"the {p.role} partition is too small: {human(size)}, the least is {human(_floor(p))}"
            )
        rows.append((p, size))
    return rows


def _floor(p: Partition) -> int:
    return max(MINIMUM[p.role], XFS_MINIMUM if p.fs == "xfs" else 0)


def _round_up(n: int) -> int:
    return (n + ALIGN - 1) // ALIGN * ALIGN


def sfdisk_script(disk_plan: DiskPlan, disk_guid: str, part_guids: Sequence[str]) -> str:
    """Input for `sfdisk`: a fresh GPT with our GUIDs, so that later steps know them without asking udev."""
    sector = disk_plan.sector
    lines = ["label: gpt", f"label-id: {disk_guid.upper()}", "unit: sectors", f"sector-size: {sector}", ""]
    for extent in disk_plan.extents:
        p, guid = extent.partition, part_guids[extent.number - 1]
        lines.append(
            f"start={extent.start // sector}, size={extent.size // sector}, type={TYPE_GUID[p.role]}, "
            f'uuid={guid.upper()}, name="{p.label or NAMES[p.role]}"'
        )
    return "\n".join(lines) + "\n"


def partition_path(disk: str, number: int) -> str:
    """/dev/vda -> /dev/vda1, /dev/nvme0n1 -> /dev/nvme0n1p1 (a name that ends in a digit takes a `p`)."""
    return f"{disk}p{number}" if disk[-1:].isdigit() else f"{disk}{number}"


def fstab(disk_plan: DiskPlan, uuids: Mapping[int, str]) -> str:
    """The lines for what the plan made; `uuids` by partition number.

    Only root and /boot can block a boot.
    """
    lines = []
    for extent in sorted(disk_plan.extents, key=lambda e: (e.partition.mount or "~", e.number)):
        p, uuid = extent.partition, uuids.get(extent.number)
        if uuid is None:
            continue
        if p.role == "swap":
            lines.append(f"UUID={uuid}\tnone\tswap\tsw,nofail\t0\t0")
        elif p.mount is not None:
            options = _mount_options(p)
            passno = 0 if p.fs in ("xfs", "vfat") else 1 if p.role == "root" else 2
            lines.append(f"UUID={uuid}\t{p.mount}\t{p.fs}\t{options}\t0\t{passno}")
    return "\n".join(lines) + "\n"


def _mount_options(p: Partition) -> str:
    if p.role == "esp":
        return "umask=0077,nofail"
    if p.role == "data":
        return "defaults,nofail"
    return "defaults,errors=remount-ro" if p.fs == "ext4" and p.role == "root" else "defaults"
