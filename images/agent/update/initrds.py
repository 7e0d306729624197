"""Initramfs of machines whose root lies on arrays, encrypted devices or volume groups: an update keeps them
able to find it.

Imaging appends what this machine needs to the image's initramfs and keeps a copy of that (initramfs.py); an
update appends it to the new one as well. Where imaging had to have the initramfs made anew, updates leave it
alone and have one made for a kernel that has none. Python 3.8, standard library only.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import List

from images.agent.rootfs import Root
from images.agent.update.lines import path_of
from images.agent.update.overlay import Overlay
from images.errors import BadInput
from images.manifest import Chunk, line_start, parse_entry, write_entry

LINES = line_start(b"boot/initr")[:-2]  # how the line of every initramfs begins
PATTERN = "/boot/initr*"
DEVICES = Path("/sys/dev/block")
KEPT = "/etc/bootsrv/initramfs-extra.cpio"  # what this machine's initramfs needs beside the image's own


def lay_over(made: Overlay, root: Root, lines: Iterable[bytes]) -> List[str]:
    """Adds the machine's own part to each initramfs of the image; patterns for those that are left alone."""
    archive = root.read(KEPT)
    if archive is None:
        return [PATTERN] if layered(root.path) else []
    for line in lines:
        if not line.startswith(LINES):
            continue
        entry = parse_entry(line)
        if entry.type != "file" or entry.extents is not None or not entry.size:
            continue
        part = bytes(-entry.size % 4) + archive
        chunk = Chunk(hashlib.sha256(part).digest(), len(part))
        made.held[chunk.id] = part
        ours = entry._replace(
            size=entry.size + len(part), chunks=(*entry.chunks, chunk), mode=entry.mode & 0o600
        )
        made.lines[path_of(line)] = write_entry(ours).rstrip(b"\n")
    return []


def own_part(root: Root) -> bytes:
    """What an update makes of initramfs depends on: the machine's own part, or that it is left alone."""
    archive = root.read(KEPT)
    return archive if archive is not None else b"left" if layered(root.path) else b""


def layered(root: Path) -> bool:
    """Whether this file system lies on a device that the kernel cannot find by itself."""
    number = root.stat().st_dev
    device = DEVICES / f"{os.major(number)}:{os.minor(number)}"
    return device.exists() and device.resolve().name.startswith(("dm-", "md"))


def complete(root: Path) -> None:
    """Has an initramfs made for the newest kernel, where this machine must have its own and has none."""
    from images.agent.grubcfg import find_kernel  # only here, as below: the agent starts sooner without

    inside = Root(root)
    try:
        if str(root) != "/" or not layered(root) or inside.exists(KEPT):
            return
        try:
            kernel = find_kernel(inside)
        except BadInput:  # nothing to boot, so nothing to complete
            return
        tool = inside.exists("/usr/sbin/update-initramfs")
    finally:
        inside.close()
    if kernel.initrd is None:
        from images.agent.initramfs import LIMIT
        from images.agent.run import run

        made = (
            ["update-initramfs", "-c", "-k", kernel.version] if tool else ["dracut", "--kver", kernel.version]
        )
        run(made, limit=LIMIT)
