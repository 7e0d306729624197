"""Finds the system on this machine's disks and mounts it read-only, with what its fstab adds.

The law: nothing is written, save that a journal which a crash left is replayed, as the next boot would do.
Python 3.8, standard library only; uses blkid, mount and, where the imager has it, LVM.
"""

from __future__ import annotations

from pathlib import Path
from typing import Callable, List, Tuple

from images.agent.capture.mounts import LOCAL, SYSTEM
from images.agent.disk import unmount_all
from images.agent.run import CommandFailed, run
from images.agent.volumes import lvm, prepare
from images.errors import BadInput

TARGET = Path("/mnt/capture")
SIGNS = ("etc/fstab", "etc/os-release", "etc/passwd")  # a root has all of them
_NAMES = ("UUID=", "LABEL=", "PARTUUID=", "PARTLABEL=", "/dev/")
Say = Callable[[str], None]


def candidates() -> List[Tuple[str, str]]:
    """(device, file system) of everything that could hold a root."""
    found = []
    for block in run(["blkid", "-o", "export"], good=(0, 2)).split("\n\n"):
        row = dict(line.partition("=")[::2] for line in block.splitlines())
        if row.get("TYPE") in LOCAL:
            found.append((row["DEVNAME"], row["TYPE"]))
    return found


def mount_root(say: Say) -> Path:
    """The machine's system below TARGET. Raises BadInput when there is none, or more than one."""
    try:
        prepare()
        lvm("vgchange", "--activate", "y")
    except CommandFailed as error:
        say(f"volume groups: {error}")
    roots = []
    for device, kind in candidates():
        TARGET.mkdir(parents=True, exist_ok=True)
        try:
            run(["mount", "-t", kind, "-o", "ro", device, str(TARGET)])
        except CommandFailed as error:
            say(f"{device}: {error}")
            continue
        if all((TARGET / sign).is_file() for sign in SIGNS):
            roots.append((device, kind))
        unmount_all(TARGET)
    if len(roots) != 1:
        names = ", ".join(device for device, _ in roots) or "none"
        raise BadInput(f"one system is needed on this machine's disks; found on: {names}")
    device, kind = roots[0]
    run(["mount", "-t", kind, "-o", "ro", device, str(TARGET)])
    for source, where, type_ in parts((TARGET / "etc/fstab").read_text("utf-8", "replace")):
        try:
            run(["mount", "-t", type_, "-o", "ro", source, str(TARGET) + where])
        except CommandFailed as error:
            raise BadInput(f"{where} of its fstab cannot be mounted: {error}") from error
    say(f"{device} ({kind}) is this machine's system")
    return TARGET


def parts(fstab: str) -> List[Tuple[str, str, str]]:
    """(source, mount point, kind) of the system's own file systems besides the root, outer ones first."""
    found = []
    for line in fstab.splitlines():
        words = line.split()
        if len(words) < 4 or words[0].startswith("#") or not words[0].startswith(_NAMES):
            continue
        where = words[1].rstrip("/")
        system = any(where == place or where.startswith(place + "/") for place in SYSTEM)
        if system and words[2] in LOCAL and "noauto" not in words[3].split(","):
            found.append((words[0], where, words[2]))
    return sorted(found, key=lambda row: row[1])
