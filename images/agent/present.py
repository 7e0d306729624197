"""What is on the disks before anything is touched: whether it is what the layout wants, and what is kept.

Read-only. The law: data that a layout says to keep is either left exactly where it is, or the deploy stops
here, with the row and the reason. Python 3.8, standard library only; uses sfdisk and blkid.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from images.agent.run import CommandFailed, run
from images.diskplan import gpt_name, partition_path, type_guid
from images.errors import BadInput
from images.storage import Place, PlannedDisk, Storage

NO_TABLE = "does not contain a recognized partition table"


class Row(NamedTuple):
    """One partition that is there; start and size in bytes."""

    number: int
    start: int
    size: int
    type: str
    name: str
    guid: str


def table(disk: str) -> tuple[Row, ...]:
    """The disk's GPT; () when it has none that can be read."""
    try:
        found = _read(disk)
    except (CommandFailed, ValueError, KeyError):
        return ()
    if found.get("label") != "gpt":
        return ()
    sector = int(found.get("sectorsize", 512))
    return tuple(_row(disk, sector, row) for row in found.get("partitions", ()))


def _read(disk: str) -> dict[str, Any]:
    return dict(json.loads(run(["sfdisk", "--json", disk]))["partitiontable"])


def _row(disk: str, sector: int, row: dict[str, Any]) -> Row:
    number = int(str(row["node"])[len(disk) :].lstrip("p"))
    start, size = int(row["start"]) * sector, int(row["size"]) * sector
    return Row(
        number, start, size, str(row["type"]).upper(), str(row.get("name", "")), str(row.get("uuid", ""))
    )


def difference(disk: PlannedDisk, rows: tuple[Row, ...]) -> str:
    """What is not as planned, in words; empty when the table is exactly the wanted one."""
    if not rows:
        return f"{disk.path} has no partition table"
    wanted = disk.plan.extents
    if len(rows) != len(wanted):
        return f"{disk.path} has {len(rows)} partitions, the layout has {len(wanted)}"
    for row, extent in zip(sorted(rows), wanted):  # noqa: B905 - Python 3.8
        p = extent.partition
        for what, there, want in (
            ("number", row.number, extent.number),
            ("start", row.start, extent.start),
            ("size", row.size, extent.size),
            ("type", row.type, type_guid(p)),
            ("name", row.name, gpt_name(p)),
        ):
            if there != want:
                return f"{disk.path}: partition {row.number} has {what} {there}, the layout says {want}"
    return ""


def kept(storage: Storage, tables: dict[str, tuple[Row, ...]]) -> list[Place]:
    """Places whose data is to stay and is there already. Raises BadInput when the table of a disk that it
    lies on would have to change.
    """
    found = []
    for place in storage.places:
        if not place.partition.keep:
            continue
        below = storage.partitions_below(place.device)
        for disk in storage.disks:
            if not tables[disk.path]:
                _surely_none(place, disk.path)
            names = {
                gpt_name(extent.partition)
                for extent in disk.plan.extents
                if partition_path(disk.path, extent.number) in below
            }
            if not any(row.name in names for row in tables[disk.path]):
                continue  # nothing to keep yet: a new disk
            why = difference(disk, tables[disk.path])
            if why:
                raise must_stay(place, why)
            found.append(place)
    return list(dict.fromkeys(found))


def _surely_none(place: Place, disk: str) -> None:
    """Raises BadInput unless the disk really has no GPT: one that cannot be read may have one."""
    try:
        _read(disk)
    except CommandFailed as error:
        if NO_TABLE not in str(error):
            raise must_stay(place, f"the table of {disk} cannot be read ({error})") from error
    except (ValueError, KeyError) as error:
        raise must_stay(place, f"the table of {disk} cannot be understood ({error})") from error


def check_kept(place: Place) -> None:
    """Raises BadInput when the device, which is open, does not hold the file system that is to be kept."""
    there = filesystem(place.device)
    if there.get("TYPE") != place.partition.fs:
        what = there.get("TYPE", "no file system")
        raise must_stay(place, f"{place.device} holds {what}, not {place.partition.fs}")


def must_stay(place: Place, why: str) -> BadInput:
    """The refusal."""
    what = repr(place.partition.label) if place.partition.label else place.device
    return BadInput(
        f"layout: data {what} is to be kept, but {why}; "
        "change the layout, or use --wipe to give the data up"
    )


def filesystem(device: str) -> dict[str, str]:
    """blkid's findings on a device (TYPE, UUID, LABEL); {} for an empty one."""
    said = run(["blkid", "--probe", "--output", "export", device], good=(0, 2))
    return dict(line.partition("=")[::2] for line in said.splitlines() if "=" in line)
