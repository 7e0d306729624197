"""The profile's disks as the actions that Ubuntu's installer hands to curtin.

Each disk gets a GPT with a BIOS boot partition and an EFI system partition, so that one file boots by both
kinds of firmware. Sizes are given in MiB; what grows takes the rest (-1), and must be the last of its disk.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pxe.answers.errors import Finding
from pxe.answers.storage import FOR_LOADERS, Disks, Formatted, Partition, Raid, Volume
from pxe.answers.text import is_line

Say = Callable[[Finding], None]
Action = dict[str, Any]


def storage(disks: Disks, secrets: Mapping[str, str], say: Say) -> dict[str, Any]:
    """The `storage` key."""
    if not disks.partitions:
        automatic = disks.automatic
        lvm = automatic is None or (not automatic.no_lvm and automatic.type in (None, "lvm"))
        layout: dict[str, Any] = {"name": "lvm" if lvm else "direct"}
        if disks.only:
            layout["match"] = {"path": _path(disks.only[0])}
        if len(disks.only) > 1:
            say(Finding("Ubuntu's installer lays out one disk by itself; write partitions", "disks.only"))
        if automatic is not None and automatic.luks is not None and not lvm:
            say(Finding("Ubuntu's installer encrypts LVM only", "disks.automatic.luks"))
        if automatic is not None and automatic.luks is not None:
            # Without one it would encrypt nothing.
            layout["password"] = _secret(automatic.luks.passphrase or "", secrets, say)
        return {"layout": layout}
    return {"config": _Plan(secrets, say).actions(disks)}


_LEVELS = ("0", "1", "5", "6", "10")


def _one_grows(disks: Disks, say: Say) -> None:
    """What grows gets all the rest, so no second one can."""
    for name, field in (("partitions", "disk"), ("volumes", "group")):
        met: set[str | None] = set()
        for number, one in enumerate(getattr(disks, name)):
            if one.grow and getattr(one, field) in met:
                what = f"Ubuntu's installer gives all that is left to one; only one on a {field} can grow"
                say(Finding(what, f"disks.{name}[{number}].grow"))
            met |= {getattr(one, field)} if one.grow else set()


class _Plan:
    """Collects actions; `_ids` knows which action's id a raid.* or pv.* member has."""

    def __init__(self, secrets: Mapping[str, str], say: Say) -> None:
        self._secrets = secrets
        self._say = say
        self._actions: list[Action] = []
        self._ids: dict[str, str] = {}

    def actions(self, disks: Disks) -> list[Action]:
        _one_grows(disks, self._say)
        drives = list(dict.fromkeys(part.disk or "" for part in disks.partitions))
        for number, drive in enumerate(drives):
            self._disk(f"disk-{number}", drive)
            parts = [one for one in enumerate(disks.partitions) if (one[1].disk or "") == drive]
            for place, part in sorted(parts, key=lambda one: one[1].grow):
                if part.name not in FOR_LOADERS:
                    self._partition(f"disk-{number}", part, f"disks.partitions[{place}]")
        if strange := [
            drive for drive in disks.only if drive not in {part.disk for part in disks.partitions}
        ]:
            self._say(Finding(f"no partition is on {strange[0]}", "disks.only"))
        for raid in disks.raids:
            self._raid(raid)
        for group in disks.groups:
            members = [self._member(name, "disks.groups") for name in group.members]
            self._add(id=f"vg-{group.name}", type="lvm_volgroup", name=group.name, devices=members)
        for volume in sorted(disks.volumes, key=lambda volume: volume.grow):
            self._volume(volume)
        return self._actions

    def _add(self, **action: Any) -> str:
        self._actions.append(action)
        return str(action["id"])

    def _disk(self, key: str, drive: str) -> None:
        match = {"path": _path(drive)} if drive else {"size": "largest"}
        self._add(id=key, type="disk", ptable="gpt", wipe="superblock-recursive", preserve=False,
                  grub_device=True, match=match)  # fmt: skip
        self._add(id=f"{key}-bios", type="partition", device=key, size="1M", flag="bios_grub")
        esp = self._add(id=f"{key}-efi", type="partition", device=key, size="256M", flag="boot",
                        grub_device=True)  # fmt: skip
        made = self._add(id=f"{esp}-format", type="format", volume=esp, fstype="fat32")
        if key == "disk-0":
            self._add(id=f"{esp}-mount", type="mount", device=made, path="/boot/efi")

    def _partition(self, disk: str, part: Partition, where: str) -> None:
        if part.keep or part.on_partition:
            self._say(Finding("partitions are made afresh here", where))
        size = -1 if part.grow else f"{part.size or 512}M"
        key = self._add(id=f"part-{len(self._actions)}", type="partition", device=disk, size=size,
                        wipe="superblock")  # fmt: skip
        self._hold(part.name, key, part)

    def _raid(self, raid: Raid) -> None:
        members = [self._member(name, "disks.raids") for name in raid.members]
        level = (raid.level or "1").upper().removeprefix("RAID")
        if level not in _LEVELS:
            self._say(Finding(f"{raid.level} is none of {', '.join(_LEVELS)}", "disks.raids"))
            return
        spares = raid.spares or 0
        key = self._add(id=f"raid-{raid.device}", type="raid", name=raid.device, raidlevel=int(level),
                        devices=members[: len(members) - spares],
                        **({"spare_devices": members[-spares:]} if spares else {}))  # fmt: skip
        self._hold(raid.name, key, raid)

    def _volume(self, volume: Volume) -> None:
        size = -1 if volume.grow else f"{volume.size or 512}M"
        key = self._add(id=f"lv-{volume.group}-{volume.name}", type="lvm_partition", name=volume.name,
                        volgroup=f"vg-{volume.group}", size=size)  # fmt: skip
        self._hold(volume.mount, key, volume)

    def _hold(self, name: str, key: str, what: Formatted) -> None:
        """Encrypt, then use: as a member of something, as swap, or with a file system."""
        if what.luks is not None:
            key = self._add(id=f"{key}-crypt", type="dm_crypt", volume=key, dm_name=f"{key}-crypt",
                            key=_secret(what.luks.passphrase or "", self._secrets, self._say))  # fmt: skip
        if name.startswith(("raid.", "pv.")):
            self._ids[name] = key
            return
        kind = "swap" if name == "swap" else what.filesystem or "ext4"
        made = self._add(id=f"{key}-format", type="format", volume=key, fstype=kind,
                         **({"label": what.label} if what.label else {}))  # fmt: skip
        self._add(id=f"{key}-mount", type="mount", device=made, path="" if name == "swap" else name,
                  **({"options": what.mount_options} if what.mount_options else {}))  # fmt: skip

    def _member(self, name: str, where: str) -> str:
        if name not in self._ids:
            self._say(Finding(f"there is no partition named {name}", where))
        return self._ids.get(name, name)


def _path(drive: str) -> str:
    return f"/dev/{drive.removeprefix('/dev/')}"


def _secret(reference: str, secrets: Mapping[str, str], say: Say) -> str:
    name = reference.removeprefix("secret:")
    if not reference or name not in secrets or not is_line(secrets[name]):
        say(Finding(f"there is no secret of one line named {name or '(none)'}", "disks"))
        return ""
    return secrets[name]
