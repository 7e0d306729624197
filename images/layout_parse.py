"""Reads a declared layout from TOML or JSON, and writes it back.

The law: what `parse_layout` returns makes sense on some disks; whether on these ones is storage.py's and
diskplan.py's. Every refusal is one line that names the row and the key. Pure; runs on nodes as well: Python
3.8, standard library only.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from images.errors import BadInput
from images.layout import (
    DEFAULT_MOUNT,
    FILESYSTEMS,
    GIB,
    MIB,
    ROLES,
    UNLOCK,
    DiskMatch,
    Layout,
    Partition,
    Size,
    Volume,
    format_size,
)
from images.layout_rules import check_whole

_PARTITION = {"role", "size", "fs", "mount", "label", "optional", "keep", "disks", "raid", "luks", "vg"}
_VOLUME = {"vg", "name", "role", "size", "fs", "mount", "label", "keep"}
_DISK = {"name", "path", "serial", "model", "wwn", "position", "min_size", "max_size"}
_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.]{0,30}\Z")


def default_layout(root_fs: str = "ext4") -> Layout:
    """Boots BIOS and UEFI: BIOS boot 1 MiB, ESP 128 MiB, swap 512 MiB where it fits, root takes the rest."""
    return parse_layout(
        {
            "partitions": [
                {"role": "bios", "size": "1M"},
                {"role": "esp", "size": "128M"},
                {"role": "swap", "size": "512M", "optional": True},
                {"role": "root", "fs": root_fs, "size": "grow"},
            ]
        }
    )


def parse_layout(data: Mapping[str, Any]) -> Layout:
    """A layout from JSON or TOML. BadInput names the row and the key."""
    unknown = set(data) - {"partitions", "table", "disks", "volumes"}
    if unknown:
        raise BadInput(f"layout: unknown key {sorted(unknown)[0]!r}")
    if data.get("table", "gpt") != "gpt":
        raise BadInput("layout: only GPT partition tables are supported")
    rows = data.get("partitions")
    if not isinstance(rows, (list, tuple)) or not rows:
        raise BadInput("layout: 'partitions' must be a list with at least a root partition")
    disks = tuple(_disk(i, row) for i, row in enumerate(_rows(data, "disks"), 1))
    names = tuple(d.name for d in disks)
    layout = Layout(
        tuple(_partition(f"layout: partition {i}", row, names) for i, row in enumerate(rows, 1)),
        disks,
        tuple(_volume(i, row) for i, row in enumerate(_rows(data, "volumes"), 1)),
    )
    check_whole(layout)
    return layout


def layout_to_json(layout: Layout) -> dict[str, Any]:
    """The form `parse_layout` reads."""
    made: dict[str, Any] = {"partitions": [_row(p) for p in layout.partitions]}
    if layout.disks:
        made["disks"] = [
            {key: value for key, value in vars(match).items() if value} for match in layout.disks
        ]
    if layout.volumes:
        made["volumes"] = [{"vg": v.vg, "name": v.name, **_row(v.partition)} for v in layout.volumes]
    return made


def _row(p: Partition) -> dict[str, Any]:
    row: dict[str, Any] = {"role": p.role, "size": str(p.size), "fs": p.fs}
    given = {"mount": p.mount, "label": p.label, "raid": p.raid, "luks": p.luks, "vg": p.vg}
    row.update((key, value) for key, value in given.items() if value is not None)
    row.update((key, True) for key in ("optional", "keep") if getattr(p, key))
    if p.disks:
        row["disks"] = list(p.disks)
    return row


def _rows(data: Mapping[str, Any], key: str) -> list[Any]:
    rows = data.get(key, [])
    if not isinstance(rows, (list, tuple)):
        raise BadInput(f"layout: '{key}' must be a list")
    return list(rows)


def _table(where: str, row: Any, known: set[str]) -> Mapping[str, Any]:
    if not isinstance(row, Mapping):
        raise BadInput(f"{where}: must be a table of keys")
    unknown = set(row) - known
    if unknown:
        raise BadInput(f"{where}: unknown key {sorted(unknown)[0]!r}")
    return row


def _disk(number: int, row: Any) -> DiskMatch:
    where = f"layout: disk {number}"
    row = _table(where, row, _DISK)
    name, position = row.get("name"), row.get("position")
    if not isinstance(name, str) or not _NAME.match(name):
        raise BadInput(f"{where}: name {name!r} must be a plain word")
    if position is not None and (type(position) is not int or position < 1):
        raise BadInput(f"{where} ({name}): position {position!r} must be a number from 1")
    words: dict[str, Any] = {"position": position}
    for key in ("path", "serial", "model", "wwn"):
        value = row.get(key)
        if value is not None and (not isinstance(value, str) or not value):
            raise BadInput(f"{where} ({name}): {key} must be a text")
        words[key] = value
    for key in ("min_size", "max_size"):
        size = parse_size(row[key], f"{where} ({name}): {key}") if key in row else Size()
        if size.grow or size.percent:
            raise BadInput(f"{where} ({name}): {key} must be a plain size such as 500G")
        words[key] = size.fixed
    return DiskMatch(name, **words)


def _partition(where: str, row: Any, disks: tuple[str, ...]) -> Partition:
    made = _common(where, _table(where, row, _PARTITION))
    where = f"{where} ({made.role})"
    raid, luks, vg = row.get("raid"), row.get("luks"), row.get("vg")
    if raid is not None and (type(raid) is not int or raid not in (0, 1, 5, 10)):
        raise BadInput(f"{where}: raid {raid!r} is none of 0, 1, 5, 10")
    if luks is not None and luks not in UNLOCK:
        raise BadInput(f"{where}: luks {luks!r} is none of {', '.join(UNLOCK)}")
    if (vg is not None) != (made.role == "lvm") or not (vg is None or _word(vg)):
        raise BadInput(f"{where}: role lvm and only it needs vg, a plain word")
    chosen = row.get("disks")
    if chosen is None:
        everywhere = made.role in ("bios", "esp") or raid is not None
        chosen = disks if everywhere else disks[:1]
    if not isinstance(chosen, (list, tuple)) or (disks and not chosen):
        raise BadInput(f"{where}: disks must be a list of names from the layout's disks")
    for name in chosen:
        if name not in disks:
            raise BadInput(f"{where}: disks: no disk {name!r} is declared in the layout")
    given = {**vars(made), "disks": tuple(chosen), "raid": raid, "luks": luks, "vg": vg}
    return Partition(**given)


def _volume(number: int, row: Any) -> Volume:
    where = f"layout: volume {number}"
    row = _table(where, row, _VOLUME)
    vg, name = row.get("vg"), row.get("name")
    if not _word(vg) or not _word(name):
        raise BadInput(f"{where}: vg and name must be plain words")
    made = _common(where, row)
    if made.role not in ("root", "swap", "data", "boot"):
        raise BadInput(f"{where} ({name}): role {made.role} cannot be a logical volume")
    return Volume(str(vg), str(name), made)


def _word(value: Any) -> bool:
    return isinstance(value, str) and _NAME.match(value) is not None


def _common(where: str, row: Mapping[str, Any]) -> Partition:
    """What partitions and volumes share."""
    role = row.get("role")
    if role not in ROLES:
        raise BadInput(f"{where}: role {role!r} is none of {', '.join(ROLES)}")
    fs = row.get("fs") or FILESYSTEMS[role][0]
    if fs not in FILESYSTEMS[role]:
        raise BadInput(f"{where} ({role}): file system {fs!r} is none of {', '.join(FILESYSTEMS[role])}")
    mount = row.get("mount", DEFAULT_MOUNT.get(role))
    if mount is not None and not _good_mount(mount):
        raise BadInput(f"{where} ({role}): mount {mount!r} is not an absolute, plain path")
    if role == "root" and mount != "/":
        raise BadInput(f"{where} (root): is always mounted on /")
    label = row.get("label")
    if label is not None and not _good_label(label):
        raise BadInput(f"{where} ({role}): label must be 1 to 11 printable ASCII characters without quotes")
    size = parse_size(row.get("size", "1M" if role == "bios" else None), f"{where} ({role})")
    keep = bool(row.get("keep", False))
    return Partition(role, size, fs, mount, label, bool(row.get("optional", False)), keep)


def _good_label(label: Any) -> bool:
    """What every file system takes: VFAT's eleven characters; no quotes, for sfdisk's script."""
    if not isinstance(label, str) or not 0 < len(label) <= 11:
        return False
    return label.isascii() and label.isprintable() and not set(label) & set("\"\\'")


def _good_mount(mount: Any) -> bool:
    if not isinstance(mount, str) or not mount.startswith("/"):
        return False
    if any(c.isspace() or c in "\0\\\"'" for c in mount):
        return False
    return mount == "/" or all(part not in ("", ".", "..") for part in mount[1:].split("/"))


def parse_size(value: Any, where: str = "layout") -> Size:
    """Reads "512M", "2G", "25%", "grow", or a number of bytes. K, M, G, T are powers of 1024."""
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return Size(fixed=value)
    if isinstance(value, str):
        text = value.strip()
        if text == "grow":
            return Size(grow=True)
        if text.endswith("%") and text[:-1].isdecimal() and 1 <= int(text[:-1]) <= 100:
            return Size(percent=int(text[:-1]))
        unit = {"K": 1024, "M": MIB, "G": GIB, "T": 1024 * GIB}.get(text[-1:].upper(), 0)
        digits = text[:-1] if unit else text
        if digits.isdecimal() and int(digits) > 0:
            return Size(fixed=int(digits) * (unit or 1))
    if value is None:
        raise BadInput(f"{where}: size is missing, such as 512M, 2G, 25% or grow")
    raise BadInput(f"{where}: size {value!r} is not a size such as 512M, 2G, 25% or grow")


__all__ = ["default_layout", "format_size", "layout_to_json", "parse_layout", "parse_size"]
