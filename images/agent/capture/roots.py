"""Finds the system on this machine's disks and mounts it read-only, with what its fstab adds. Of several that
on the node's own disk is it.

The law: nothing is written, save that a journal which a crash left is replayed, as the next boot would do.
What fstab(5) lists is mounted here as that machine mounts it; what of it belongs to a capture is decided
where running machines are captured too (mounts.py). Python 3.8, standard library only; uses blkid, mount,
mdadm, cryptsetup and LVM.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Callable, Dict, List, NamedTuple, Optional, Set, Tuple

from images.agent.capture.mounts import LOCAL, is_system
from images.agent.disk import unmount_all
from images.agent.run import CommandFailed, run
from images.agent.volumes import find
from images.errors import BadInput
from images.octal import plain

TARGET = Path("/mnt/capture")
SYS_DEV = Path("/sys/dev/block")
SIGNS = ("etc/fstab", "etc/os-release", "etc/passwd")  # a root has all of them
# Where installers put the root of a btrfs, where its default subvolume is not it: Ubuntu and Arch, Fedora,
# Debian.
SUBVOLUMES = ("@", "root", "@rootfs")
_NAMES = ("UUID=", "LABEL=", "PARTUUID=", "PARTLABEL=", "/dev/")
Say = Callable[[str], None]


class Part(NamedTuple):
    """What is mounted at `where`. `subvolume`: the mount option that chooses one of a btrfs, or ""."""

    source: str
    where: str
    kind: str
    subvolume: str = ""

    def mount(self, root: Path) -> None:
        """Below `root`, read-only. Raises CommandFailed."""
        options = f"ro,{self.subvolume}" if self.subvolume else "ro"
        run(["mount", "-t", self.kind, "-o", options, self.source, str(root) + self.where.rstrip("/")])


def candidates() -> List[Tuple[str, str]]:
    """(device, file system) of everything that could hold a root; of a btrfs on several disks the first."""
    found: Dict[str, Tuple[str, str]] = {}
    for block in run(["blkid", "-o", "export"], good=(0, 2)).split("\n\n"):
        row = dict(line.partition("=")[::2] for line in block.splitlines())
        if row.get("TYPE") in LOCAL:
            same = row.get("UUID", "") if row["TYPE"] == "btrfs" else ""
            found.setdefault(same or row["DEVNAME"], (row["DEVNAME"], row["TYPE"]))
    return list(found.values())


def mount_root(say: Say, key: Optional[str] = None, disk: Optional[str] = None) -> Path:
    """The machine's system below TARGET. `key` opens what is encrypted; of several systems that on `disk` (a
    path) is meant. Raises BadInput when there is none, or still more than one.
    """
    shut = find(say, key)
    roots = [root for device, kind in candidates() for root in _root_on(device, kind, say)]
    if len(roots) > 1 and disk is not None:
        roots = [root for root in roots if Path(disk).name in below(Path(root.source))] or roots
    if len(roots) != 1:
        names = ", ".join(root.source for root in roots) or "none"
        more = f"; encrypted with a key that this server has not: {', '.join(shut)}" if shut else ""
        if len(roots) > 1:
            more += "; `bootsrv node set --disk` tells which disk is the node's"
        raise BadInput(f"one system is needed on this machine's disks; found on: {names}{more}")
    (root,) = roots
    root.mount(TARGET)
    for part in parts((TARGET / "etc/fstab").read_text("utf-8", "replace")):
        try:
            part.mount(TARGET)
        except CommandFailed as error:
            if is_system(part.where):
                raise BadInput(f"{part.where} of its fstab cannot be mounted: {error}") from error
            say(f"without {part.where}, which cannot be mounted: {error}")
    say(f"{root.source} ({root.kind}{root.subvolume and ', ' + root.subvolume}) is this machine's system")
    return TARGET


def below(device: Path) -> Set[str]:
    """The kernel's names of a device and of all that it lies on: partitions, disks, members of arrays."""
    number = device.stat().st_rdev
    found: Set[str] = set()
    more = [SYS_DEV / f"{os.major(number)}:{os.minor(number)}"]
    while more:
        path = more.pop().resolve()
        if path.name not in found:
            found.add(path.name)
            more += path.glob("slaves/*")
            if (path / "partition").exists():
                more.append(path.parent)
    return found


def _root_on(device: str, kind: str, say: Say) -> List[Part]:
    """The root that the device holds: none or one."""
    TARGET.mkdir(parents=True, exist_ok=True)
    for name in ("", *(SUBVOLUMES if kind == "btrfs" else ())):
        root = Part(device, "/", kind, name and f"subvol={name}")
        try:
            root.mount(TARGET)
        except CommandFailed as error:
            if not name:
                say(f"{device}: {error}")
                return []
            continue  # no subvolume of that name
        try:
            if all((TARGET / sign).is_file() for sign in SIGNS):
                return [root]
        finally:
            unmount_all(TARGET)
    return []


def parts(fstab: str) -> List[Part]:
    """The machine's local file systems besides the root, outer ones first."""
    found = []
    for line in fstab.splitlines():
        words = [plain(word) for word in line.split()]
        if len(words) < 4 or line.lstrip().startswith("#") or not words[0].startswith(_NAMES):
            continue
        options = words[3].split(",")
        if not words[1].startswith("/") or not words[1].strip("/") or "noauto" in options:
            continue
        if words[2] in LOCAL or words[2] == "auto":
            chosen = [each for each in options if each.startswith(("subvol=", "subvolid="))]
            found.append(Part(words[0], "/" + words[1].strip("/"), words[2], ",".join(chosen)))
    return sorted(found, key=lambda part: part.where)
