"""Which of a machine's disks a layout is for.

The law: a description that fits no disk, or could mean two when it must be one, is refused with what the
machine has; USB and removable disks are only taken when they are named. Disks are rows of the inventory.
Pure; runs on nodes as well: Python 3.8, standard library only.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, Mapping  # noqa: UP035 - Python 3.8 evaluates the alias below

from images.errors import BadInput
from images.layout import DiskMatch
from images.sizes import human

Disk = Mapping[str, Any]


def choose_disk(disks: Sequence[Disk], wanted: str | None, need: int) -> Disk:
    """The disk to image: by path, "serial:X", "model:X"; or the smallest fixed one of `need` bytes."""
    usable = _usable(disks)
    if wanted:
        kind, _, value = wanted.partition(":")
        key = kind if value and kind in ("serial", "model", "wwn") else "path"
        found = [d for d in usable if d.get(key) == (value if key != "path" else os.path.realpath(wanted))]
        if not found:
            have = ", ".join(f"{d['path']} (serial {d['serial']})" for d in usable)
            raise BadInput(f"no disk {wanted}; this machine has {have}")
        if len(found) > 1:
            raise BadInput(f"{wanted} names {len(found)} disks: {', '.join(d['path'] for d in found)}")
        return found[0]
    fixed = [d for d in usable if _fixed(d)]
    fits = sorted((d["size"], d["path"]) for d in fixed if d["size"] >= need)
    if not fits:
        have = ", ".join(f"{d['path']} {human(d['size'])}" for d in fixed) or "only removable ones"
        raise BadInput(f"no disk is large enough: the image needs {human(need)}, this machine has {have}")
    return next(d for d in fixed if d["path"] == fits[0][1])


def match_disks(matches: Sequence[DiskMatch], disks: Sequence[Disk]) -> dict[str, Disk]:
    """A disk for each name: of several that fit, the first by path that no other name took.

    Names that ask for one certain disk (serial, wwn, path, position) choose first.
    """
    usable = _usable(disks)
    fixed = [d for d in usable if _fixed(d)]
    chosen: dict[str, Disk] = {}
    for match in sorted(matches, key=lambda m: not (m.serial or m.wwn or m.path or m.position)):
        taken = {d["path"] for d in chosen.values()}
        rows = usable if match.serial or match.wwn or match.path else fixed
        fits = [d for d in rows if _fits(match, d, fixed)]
        free = [d for d in fits if d["path"] not in taken]
        if not free:
            have = ", ".join(
                f"{d['path']} {human(d['size'])} (model {d['model']}, serial {d['serial']})" for d in usable
            )
            why = f"another name has taken {fits[0]['path']}" if fits else f"this machine has {have}"
            raise BadInput(f"layout: disk {match.name}: none fits ({why})")
        chosen[match.name] = free[0]
    return {match.name: chosen[match.name] for match in matches}


def _fits(match: DiskMatch, disk: Disk, fixed: Sequence[Disk]) -> bool:
    if match.path is not None and disk["path"] != os.path.realpath(match.path):
        return False
    if match.position is not None and disk not in fixed[match.position - 1 : match.position]:
        return False
    for key in ("serial", "model", "wwn"):
        value = getattr(match, key)
        if value is not None and disk.get(key) != value:
            return False
    size = int(disk["size"])
    return match.min_size <= size <= (match.max_size or size)


def _usable(disks: Sequence[Disk]) -> list[Disk]:
    usable = [d for d in disks if not d["read_only"]]
    if not usable:
        raise BadInput(
            "this machine has no disk that can be written" if disks else "this machine has no disk"
        )
    return usable


def _fixed(disk: Disk) -> bool:
    return not disk["removable"] and disk["transport"] != "usb"
