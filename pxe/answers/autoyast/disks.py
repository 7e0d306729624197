"""The profile's disks as AutoYaST's drives: disks, then arrays, then volume groups.

The first disk gets a BIOS boot partition and an EFI system partition, so that one file boots by both kinds of
firmware. Sizes are given in MiB; what grows says `max`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pxe.answers.autoyast.xml import Items, Symbol
from pxe.answers.errors import Finding
from pxe.answers.storage import FOR_LOADERS, Disks, Formatted, Partition
from pxe.answers.text import is_line

Say = Callable[[Finding], None]
Values = dict[str, Any]
_BIOS_BOOT, _EFI_SYSTEM, _LVM, _RAID = 263, 259, 142, 253  # partition ids, as YaST counts them


def drives(disks: Disks, secrets: Mapping[str, str], say: Say) -> Items | None:
    """The `partitioning` section; None: YaST's own proposal."""
    if not disks.partitions:
        return None
    return _Plan(disks, secrets, say).drives()


class _Plan:
    def __init__(self, disks: Disks, secrets: Mapping[str, str], say: Say) -> None:
        self._disks, self._secrets, self._say = disks, secrets, say
        self._array_of = {name: raid.device for raid in disks.raids for name in raid.members}
        self._group_of = {name: group.name for group in disks.groups for name in group.members}

    def drives(self) -> Items:
        found = Items("drive", [])
        wanted = dict.fromkeys(part.disk or "" for part in self._disks.partitions)
        for number, name in enumerate(wanted):
            found.append(self._drive(name, first=number == 0))
        for number, raid in enumerate(self._disks.raids):
            where = f"disks.raids[{number}]"
            if raid.spares:
                self._say(Finding("AutoYaST makes no spares; leave them out", f"{where}.spares"))
            level = (raid.level or "1").upper().removeprefix("RAID")
            options: Values = {"raid_type": f"raid{level}"}
            options |= {"chunk_size": f"{raid.chunk}KB"} if raid.chunk else {}
            content = Items("partition", [self._content(raid.name, raid, where)])
            found.append({
                "device": f"/dev/md/{raid.device}", "type": Symbol("CT_RAID"), "disklabel": "none",
                "use": "all", "partitions": content, "raid_options": options,
            })  # fmt: skip
        for group in self._disks.groups:
            found.append(self._group(group.name, group.extent))
        return found

    def _drive(self, name: str, first: bool) -> Values:
        parts = [(n, part) for n, part in enumerate(self._disks.partitions) if (part.disk or "") == name]
        made = Items("partition", [])
        if first:
            made.append({"create": True, "partition_id": _BIOS_BOOT, "size": "8M"})
            made.append({"create": True, "format": True, "filesystem": Symbol("vfat"), "mount": "/boot/efi",
                         "partition_id": _EFI_SYSTEM, "size": "256M"})  # fmt: skip
        parts = [one for one in parts if one[1].name not in FOR_LOADERS]
        for number, part in sorted(parts, key=lambda one: one[1].grow):
            if part.keep or part.on_partition:
                self._say(Finding("partitions are made afresh here", f"disks.partitions[{number}]"))
            where = f"disks.partitions[{number}]"
            made.append({"create": True, "size": _size(part), **self._content(part.name, part, where)})
        drive: Values = {"device": f"/dev/{name.removeprefix('/dev/')}"} if name else {}
        label = (self._disks.clear and self._disks.clear.label) or "gpt"
        return {**drive, "type": Symbol("CT_DISK"), "disklabel": label, "initialize": True, "use": "all",
                "partitions": made}  # fmt: skip

    def _group(self, name: str, extent: int | None) -> Values:
        made = Items("partition", [])
        for number, volume in enumerate(self._disks.volumes):
            if volume.group != name:
                continue
            size = "max" if volume.grow else f"{volume.size or 512}M"
            content = self._content(volume.mount, volume, f"disks.volumes[{number}]")
            made.append({"create": True, "lv_name": volume.name, "size": size, **content})
        more = {"pesize": f"{extent}K"} if extent else {}
        return {"device": f"/dev/{name}", "type": Symbol("CT_LVM"), **more, "use": "all", "partitions": made}

    def _content(self, name: str, what: Formatted, where: str) -> Values:
        values: Values = self._lock(what, where)
        if name in self._group_of:
            return {**values, "format": False, "partition_id": _LVM, "lvm_group": self._group_of[name]}
        if name in self._array_of:
            return {**values, "format": False, "partition_id": _RAID,
                    "raid_name": f"/dev/md/{self._array_of[name]}"}  # fmt: skip
        if name.startswith(("raid.", "pv.")):
            self._say(Finding(f"nothing uses {name}", where))
        kind = "swap" if name == "swap" else what.filesystem or "xfs"
        values |= {"format": not what.keep, "filesystem": Symbol(kind), "mount": name}
        values |= {"label": what.label} if what.label else {}
        values |= {"fstopt": what.mount_options} if what.mount_options else {}
        return values

    def _lock(self, what: Formatted, where: str) -> Values:
        if what.luks is None:
            return {}
        key = (what.luks.passphrase or "").removeprefix("secret:")
        if key not in self._secrets or not is_line(self._secrets[key]):
            self._say(Finding(f"there is no secret of one line named {key or '(none)'}", f"{where}.luks"))
        method = what.luks.version or "luks1"
        return {"crypt_method": Symbol(method), "crypt_key": self._secrets.get(key, "")}


def _size(part: Partition) -> str:
    if part.recommended:
        return "auto"
    return "max" if part.grow else f"{part.size or 512}M"
