"""partman's recipes: one line for each partition and volume, words and `NAME{ VALUE }`, ended by a dot.

Field facts, from the scripts of partman-auto and partman-auto-raid:
* A recipe is split at blanks, so a value is one word, and never a lone dot or a brace. That of RAID is cut at
  every dot, wherever it stands.
* A recipe is read more than once for LVM on RAID: `$defaultignore` keeps volumes from being made as
  partitions on the disks, `$lvmignore` keeps the arrays' partitions from being made again.
* A recipe is laid on every disk of an array alike, so a partition has the same number on each. 1 and 2 are
  biosgrub and efi, which a GPT gets for both kinds of firmware.
* Sizes are MB (10^6), three to a line: least, weight, most (-1: all there is).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

from pxe.answers.errors import Finding
from pxe.answers.storage import FOR_LOADERS, Disks, Formatted, Partition, Raid, Volume

Say = Callable[[Finding], None]
_BIOS = "1 1 1 free $iflabel{ gpt } $reusemethod{ } method{ biosgrub } ."
_EFI = "256 256 512 free $iflabel{ gpt } $reusemethod{ } method{ efi } format{ } ."
_FIRST = 3
_WORD = re.compile(r"[A-Za-z0-9_/][A-Za-z0-9_./:+-]*\Z")
_RAID_WORD = re.compile(r"[A-Za-z0-9_/:+#-]+\Z")
_FILESYSTEMS = {name: name for name in ("ext2", "ext3", "ext4", "xfs", "btrfs", "jfs", "fat16", "fat32")}
_FILESYSTEMS["vfat"] = "fat32"
_OPTIONS = frozenset(
    ("discard", "noatime", "nodiratime", "relatime", "nodev", "nosuid", "noexec", "ro", "sync", "usrquota",
     "grpquota", "user_xattr")
)  # fmt: skip


class Recipes:
    """Of one plan. `locked`: its volume group is encrypted, whose partition the installer makes by itself."""

    def __init__(self, disks: Disks, locked: bool, say: Say) -> None:
        self._disks, self._say = disks, say
        # One line stands for the members of an array on all of their disks.
        apart = {*FOR_LOADERS, *(name for raid in disks.raids for name in raid.members[1:])}
        if locked and not disks.raids:
            apart |= {part.name for part in disks.partitions if part.name.startswith("pv.")}
        self._laid = [one for one in enumerate(disks.partitions) if one[1].name not in apart]

    def expert(self) -> str:
        """partman-auto/expert_recipe."""
        lines = [self._partition(part, f"disks.partitions[{number}]") for number, part in self._laid]
        lines += [self._volume(one, f"disks.volumes[{n}]") for n, one in enumerate(self._disks.volumes)]
        return " ".join(["bootsrv ::", _BIOS, _EFI, *lines])

    def raid(self) -> str:
        """partman-auto-raid/recipe: level, devices, spares, filesystem, mount point, members and spares by
        '#'."""
        place = {part.name: number for number, (_, part) in enumerate(self._laid, _FIRST)}
        drive = {part.name: part.disk for part in self._disks.partitions}
        lines = []
        for number, raid in enumerate(self._disks.raids):
            where = f"disks.raids[{number}]"
            if raid.device != f"md{number}":
                self._say(Finding(f"Debian's installer numbers its arrays: md{number}", f"{where}.device"))
            found = [
                _device(drive.get(name), place.get(raid.members[0]), name, where, self._say)
                for name in raid.members
            ]
            spares = raid.spares or 0
            used, spare = found[: len(found) - spares], found[len(found) - spares :]
            kind = self._array_kind(raid, where)
            mount = "-" if kind in ("lvm", "crypto-lvm", "swap") else raid.name
            level = (raid.level or "1").upper().removeprefix("RAID")
            words = [level, str(len(used)), str(spares), kind, mount, "#".join(used)]
            words += ["#".join(spare)] if spare else []
            if bad := next((word for word in words if not _RAID_WORD.match(word)), ""):
                self._say(Finding(f"{bad!r} cannot stand in a RAID recipe of Debian's installer", where))
            lines.append(f"{' '.join(words)} .")
        return " ".join(lines)

    def _array_kind(self, raid: Raid, where: str) -> str:
        if raid.name.startswith("pv."):
            return "crypto-lvm" if raid.luks else "lvm"
        return "swap" if raid.name == "swap" else self._filesystem(raid, where)

    def _partition(self, part: Partition, where: str) -> str:
        size = _sizes(part.size, part.max_size, part.grow)
        if part.name.startswith("raid."):
            return f"{size} raid $lvmignore{{ }} $primary{{ }} method{{ raid }} ."
        if part.name.startswith("pv."):
            on = f" device{{ {self._word(_path(part.disk), f'{where}.disk')} }}" if part.disk else ""
            return f"{size} ext4 $defaultignore{{ }} $primary{{ }} method{{ lvm }}{on} ."
        # Below LVM on an array the recipe is read once more, for the volumes.
        again = "$lvmignore{ } " if self._disks.raids else ""
        first = f"$primary{{ }} {again}" + ("$bootable{ } " if part.name == "/boot" else "")
        return f"{size} {self._content(part.name, part, first, where)}"

    def _volume(self, volume: Volume, where: str) -> str:
        size = _sizes(volume.size, volume.max_size, volume.grow)
        name = self._word(volume.name, f"{where}.name")
        inside = f"$defaultignore{{ }} $lvmok{{ }} lv_name{{ {name} }} "
        return f"{size} {self._content(volume.mount, volume, inside, where)}"

    def _content(self, mount: str, what: Formatted, flags: str, where: str) -> str:
        if not mount.startswith("/") and mount != "swap":
            self._say(Finding(f"{mount} is neither a mount point nor swap, and nothing uses it", where))
        if mount == "swap":
            return f"linux-swap {flags}method{{ swap }} format{{ }} ."
        kind = self._filesystem(what, where)
        more = f"label{{ {self._word(what.label, f'{where}.label')} }} " if what.label else ""
        for option in (what.mount_options or "").split(","):
            if option in _OPTIONS:
                more += f"options/{option}{{ {option} }} "
            elif option not in ("", "defaults"):
                known = ", ".join(sorted(_OPTIONS))
                self._say(Finding(f"Debian's installer sets none but {known}", f"{where}.mount_options"))
        return (f"{kind} {flags}method{{ format }} format{{ }} use_filesystem{{ }} filesystem{{ {kind} }} "
                f"{more}mountpoint{{ {self._word(mount, where)} }} .")  # fmt: skip

    def _filesystem(self, what: Formatted, where: str) -> str:
        kind = what.filesystem or "ext4"
        if kind not in _FILESYSTEMS:
            known = ", ".join(_FILESYSTEMS)
            self._say(Finding(f"Debian's installer makes none but {known}", f"{where}.filesystem"))
        return _FILESYSTEMS.get(kind, kind)

    def _word(self, text: str, where: str) -> str:
        if not _WORD.match(text):
            self._say(Finding(f"{text!r} cannot stand in a recipe of Debian's installer", where))
        return text


def drives(disks: Disks) -> Sequence[str]:
    """The disks that are named, each once."""
    named = [part.disk for part in disks.partitions if part.disk]
    return list(dict.fromkeys([*disks.only, *named, *(disks.clear.drives if disks.clear else ())]))


def paths(disks: Disks) -> Iterator[str]:
    """The same, as the installer names them."""
    return map(_path, drives(disks))


def _path(drive: str) -> str:
    return f"/dev/{drive.removeprefix('/dev/')}"


def _device(drive: str | None, number: int | None, name: str, where: str, say: Say) -> str:
    if drive is None or number is None:
        say(Finding(f"there is no partition named {name}, with a disk", f"{where}.members"))
        return name
    path = _path(drive)
    return f"{path}{'p' if path[-1].isdigit() else ''}{number}"


def _sizes(size: int | None, most: int | None, grow: bool) -> str:
    """Least, weight and most in MB, from MiB."""
    least = max(1, round((size or 512) * 1.048576))
    if grow:
        return f"{least} {least + 10000} {round(most * 1.048576) if most else -1}"
    return f"{least} {least} {least}"
