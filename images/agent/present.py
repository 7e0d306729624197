"""What is on the disks before anything is touched: whether it is what the layout wants, and what is kept.

Read-only. The law: data that a layout says to keep is either left exactly where it is, or the deploy stops
here, with the row and the reason. Python 3.8, standard library only; uses sfdisk and blkid.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from images.agent.run import CommandFailed, run
from images.diskplan import gpt_name, type_guid
from images.errors import BadInput
from images.storage import PlannedDisk, Storage


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
        found = json.loads(run(["sfdisk", "--json", disk]))["partitiontable"]
    except (CommandFailed, ValueError, KeyError):
        return ()
    if found.get("label") != "gpt":
        return ()
    sector = int(found.get("sectorsize", 512))
    return tuple(_row(disk, sector, row) for row in found.get("partitions", ()))


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


def check_kept(storage: Storage, tables: dict[str, tuple[Row, ...]]) -> None:
    """Raises BadInput when there is data to keep on a disk whose table would have to change."""
    for place in storage.places:
        p, disk = place.partition, place.disk
        if not p.keep or disk is None:
            continue
        rows = tables[disk]
        if not any(row.name == gpt_name(p) for row in rows):
            continue  # nothing to keep yet: a new disk
        planned = next(d for d in storage.disks if d.path == disk)
        why = difference(planned, rows)
        fs = filesystem(place.device) if not why else {}
        if not why and fs.get("TYPE") != p.fs:
            why = f"{place.device} holds {fs.get('TYPE', 'no file system')}, not {p.fs}"
        if why:
            raise BadInput(
                f"layout: data {p.label!r} is to be kept, but {why}; "
                "change the layout, or use --wipe to give the data up"
            )


def filesystem(device: str) -> dict[str, str]:
    """blkid's findings on a device (TYPE, UUID, LABEL); {} for an empty one."""
    said = run(["blkid", "--probe", "--output", "export", device], good=(0, 2))
    return dict(line.partition("=")[::2] for line in said.splitlines() if "=" in line)
