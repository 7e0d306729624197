"""From a declared layout and the disks of a machine to every device that will be made: disks, arrays,
encrypted devices, volume groups, and the places where a file system lies.

The law: all names and sizes are decided here, before anything is touched. Order of the layers: partition,
array, encryption, volume group. Pure; runs on nodes as well: Python 3.8, standard library only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from images.disk_choice import choose_disk, match_disks
from images.diskplan import partition_path, plan, smallest_disk, with_overhead
from images.errors import BadInput
from images.layout import (
    MIB,
    DiskPlan,
    Extent,
    Layout,
    Partition,
    Volume,
    least_bytes,
)
from images.sizes import human

MD_FIRST = 100  # /dev/md100 and up: numbers that nothing else takes
MD_HEAD = 2 * MIB  # superblock, bitmap, and rounding to chunks
LUKS_HEAD = 16 * MIB  # LUKS2 header and key slots
PV_HEAD = 2 * MIB
PHYSICAL_EXTENT = 4 * MIB


@dataclass(frozen=True)
class PlannedDisk:
    """One disk and its table."""

    path: str
    plan: DiskPlan


@dataclass(frozen=True)
class Array:
    """An md array; `members` are partitions."""

    name: str
    device: str
    level: int
    members: tuple[str, ...]

    @property
    def key(self) -> str:
        """Its place among UUIDs by device, where the device itself stands for what lies on it."""
        return f"md:{self.device}"


@dataclass(frozen=True)
class Crypt:
    """A LUKS2 device: `below` holds it, `name` is what it is opened as."""

    name: str
    below: str
    unlock: str

    @property
    def device(self) -> str:
        """Where it is when it is open."""
        return f"/dev/mapper/{self.name}"


@dataclass(frozen=True)
class Group:
    """A volume group, its physical volumes, and its volumes (the one that grows last)."""

    name: str
    devices: tuple[str, ...]
    volumes: tuple[Volume, ...]


@dataclass(frozen=True)
class Place:
    """Where one file system (or swap) lies. `size` in bytes, within a few MiB above plain partitions."""

    partition: Partition
    device: str
    size: int
    disk: str | None = None  # plain partitions only: their disk and number
    number: int = 0


@dataclass(frozen=True)
class Storage:
    """Everything that will be there."""

    disks: tuple[PlannedDisk, ...]
    places: tuple[Place, ...]
    arrays: tuple[Array, ...] = ()
    crypts: tuple[Crypt, ...] = ()
    groups: tuple[Group, ...] = ()

    def by_role(self, role: str) -> Place | None:
        """The first place with this role, or None."""
        return next((p for p in self.places if p.partition.role == role), None)

    @property
    def root(self) -> Place:
        return next(p for p in self.places if p.partition.role == "root")

    @property
    def boot(self) -> Place:
        """Where /boot is."""
        return self.by_role("boot") or self.root

    def partitions_below(self, device: str) -> set[str]:
        """The partitions that carry a device: itself, or what its group, array and encryption lie on."""
        parts = [a.members for a in self.arrays if a.device == device]
        parts += [(c.below,) for c in self.crypts if c.device == device]
        parts += [g.devices for g in self.groups if device.startswith(f"/dev/{g.name}/")]
        return {found for row in parts for one in row for found in self.partitions_below(one)} or {device}

    @property
    def features(self) -> tuple[str, ...]:
        """What the image must be able to do to find its root: of raid, luks, lvm."""
        has = {"raid": self.arrays, "luks": self.crypts, "lvm": self.groups}
        return tuple(name for name, there in has.items() if there)

    @property
    def text(self) -> str:
        """For people: disks and what lies on them."""
        parts = [f"{p.partition.fs} {p.partition.role} {human(p.size)}" for p in self.places]
        parts += [f"raid {a.level} of {len(a.members)} for {a.name}" for a in self.arrays]
        return ", ".join([*parts, *(f"{c.name} encrypted" for c in self.crypts)])


def resolve(
    layout: Layout, found: Sequence[Mapping[str, Any]], wanted: str | None, root_bytes: int
) -> Storage:
    """Chooses the disks and plans them. `wanted`: the node's own choice, for layouts of one disk.

    Raises BadInput: no such disk, or not enough room; the message has names and sizes.
    """
    parts = tuple(replace(p, least=_least(layout, p, root_bytes)) for p in layout.partitions)
    if not layout.disks:
        single = replace(layout, partitions=parts)
        chosen = {"": choose_disk(found, wanted, smallest_disk(single, root_bytes))}
    else:
        chosen = match_disks(layout.disks, found)
    disks = {}
    for name, disk in chosen.items():
        here = Layout(tuple(p for p in parts if not name or name in p.disks))
        what = str(disk["path"])
        disks[name] = PlannedDisk(what, plan(here, disk["size"], disk["sector"], root_bytes, what))
    return _Builder(layout, disks, root_bytes).build(parts)


def _least(layout: Layout, p: Partition, root_bytes: int) -> int:
    """Bytes this partition must have on each of its disks; 0: its own floor is enough."""
    if p.role == "lvm":
        rows = [row for row in layout.partitions if row.vg == p.vg]
        count = sum(1 if row.raid is not None else max(1, len(row.disks)) for row in rows)
        total = sum(_volume_least(v, root_bytes) for v in layout.volumes if v.vg == p.vg)
        need = -(-total // count) + PV_HEAD + PHYSICAL_EXTENT
    elif p.role == "root" and (p.raid is not None or p.luks):
        need = max(with_overhead(root_bytes), least_bytes(p))
    elif p.raid is not None or p.luks:
        need = least_bytes(p)
    else:
        return 0
    need += LUKS_HEAD if p.luks else 0
    if p.raid is not None:
        need = -(-need // _data_disks(p.raid, len(p.disks))) + MD_HEAD
    return -(-need // MIB) * MIB


def _volume_least(volume: Volume, root_bytes: int) -> int:
    p = volume.partition
    least = max(with_overhead(root_bytes), least_bytes(p)) if p.role == "root" else least_bytes(p)
    if p.size.fixed:
        if p.size.fixed < least:
            raise BadInput(
                f"layout: volume {volume.name} is too small: it has {human(p.size.fixed)}, "
                f"it needs at least {human(least)}"
            )
        least = p.size.fixed
    return -(-least // PHYSICAL_EXTENT) * PHYSICAL_EXTENT


def _data_disks(level: int, disks: int) -> int:
    return {0: disks, 1: 1, 5: disks - 1, 10: disks // 2}[level]


class _Builder:
    """Walks the rows once and collects what each makes."""

    def __init__(self, layout: Layout, disks: Mapping[str, PlannedDisk], root_bytes: int) -> None:
        self.layout, self.disks, self.root_bytes = layout, disks, root_bytes
        self.arrays: list[Array] = []
        self.crypts: list[Crypt] = []
        self.places: list[Place] = []
        self.physical: dict[str, list[tuple[str, int]]] = {}

    def build(self, parts: Sequence[Partition]) -> Storage:
        for row in parts:
            where = [
                (disk.path, extent)
                for name, disk in self.disks.items()
                for extent in disk.plan.extents
                if extent.partition is row and (not name or name in row.disks)
            ]
            if row.raid is not None:
                self._array(row, where)
            else:
                for path, extent in where:
                    device = partition_path(path, extent.number)
                    self._upper(row, device, extent.size, (path, extent.number))
        groups = tuple(self._group(name) for name in self.physical)
        return Storage(
            tuple(self.disks.values()), tuple(self.places), tuple(self.arrays), tuple(self.crypts), groups
        )

    def _array(self, row: Partition, where: Sequence[tuple[str, Extent]]) -> None:
        name = row.label or row.vg or row.role
        taken = sum(a.name.rstrip("0123456789") == name for a in self.arrays)
        name = f"{name}{taken + 1}" if taken else name
        members = tuple(partition_path(path, extent.number) for path, extent in where)
        device = f"/dev/md{MD_FIRST + len(self.arrays)}"
        self.arrays.append(Array(name, device, row.raid or 0, members))
        least = min(extent.size for _, extent in where) - MD_HEAD
        self._upper(row, device, least * _data_disks(row.raid or 0, len(members)), None)

    def _upper(self, row: Partition, device: str, size: int, plain: tuple[str, int] | None) -> None:
        if row.luks is not None:
            crypt = Crypt(f"crypt-{row.label or row.vg or row.role}-{len(self.crypts)}", device, row.luks)
            self.crypts.append(crypt)
            device, size, plain = crypt.device, size - LUKS_HEAD, None
        if row.vg is not None:
            self.physical.setdefault(row.vg, []).append((device, size))
        elif plain is not None:
            self.places.append(Place(row, device, size, *plain))
        else:
            self.places.append(Place(row, device, size))

    def _group(self, name: str) -> Group:
        total = sum(
            (size - PV_HEAD) // PHYSICAL_EXTENT * PHYSICAL_EXTENT for _, size in self.physical[name]
        )
        volumes = [v for v in self.layout.volumes if v.vg == name]
        volumes.sort(key=lambda v: v.partition.size.grow)
        left, sized = total, []
        for volume in volumes:
            want = volume.partition.size
            share = want.fixed or total * want.percent // 100
            size = left if want.grow else -(-share // PHYSICAL_EXTENT) * PHYSICAL_EXTENT
            least = _volume_least(volume, self.root_bytes)
            if size > left or size < least:
                raise BadInput(
                    f"layout: volume {volume.name} of group {name} does not fit: it needs "
                    f"{human(max(least, size))}, the group has {human(left)} left of {human(total)}"
                )
            left -= size
            exact = replace(volume, partition=replace(volume.partition, least=size))
            sized.append(exact)
            self.places.append(Place(volume.partition, f"/dev/{name}/{volume.name}", size))
        return Group(name, tuple(device for device, _ in self.physical[name]), tuple(sized))
