"""What a diskless machine writes: an overlay over its read-only root, in memory or on a file system that is
kept for it.

    discard   everything goes to a tmpfs, which has the limit as its size
    compress  the same, in a device in memory that compresses; a tmpfs where the kernel has none
    keep      everything goes to a kept file system
    paths     what lies below some directories goes to a kept file system, the rest to a tmpfs

A kept file system is ext4, on a network block device or in a file on a directory over NFS: an overlay's
upper part needs attributes that NFS has not. Mounts appear below /run/bootsrv, where `df` shows how full
they are. Python 3.8, standard library only.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Optional, Sequence, Tuple
from urllib.parse import quote

from images.agent.netroot import zram
from images.agent.netroot.mounts import NOATIME, mount
from images.agent.rootfs import Root
from images.agent.run import run
from images.errors import ImageError

HOME = Path("/run/bootsrv")
LOWER, MEMORY, KEPT = HOME / "lower", HOME / "memory", HOME / "kept"
EXT4_MAGIC, SUPERBLOCK = b"\x53\xef", 1024


def in_memory(target: Path, limit: int | None) -> None:
    """The whole root on an overlay over memory. `limit` in bytes; None: half of the memory (tmpfs(5))."""
    mount("bootsrv-writes", MEMORY, "tmpfs", NOATIME, f"mode=755,size={limit or '50%'}")
    _overlay(LOWER, MEMORY / "root", target)


def compressed(target: Path, limit: int | None) -> str | None:
    """As `in_memory`, compressed; the device, or None where the kernel has none: nothing was mounted then.
    Raises ImageError, OSError."""
    device = zram.create((limit or zram.half_of_memory()) // 4096 * 4096)
    if device is None:
        return None
    try:
        # Many small files, no journal: nothing of it outlives a power cut. What is removed is given back.
        lazy = "lazy_itable_init=1,nodiscard"
        how = [
            "-q",
            "-F",
            "-t",
            "ext4",
            "-L",
            "bootsrv-writes",
            "-m",
            "0",
            "-i",
            "4096",
            "-O",
            "^has_journal",
        ]
        run(["mke2fs", *how, "-E", lazy, device])
        mount(device, MEMORY, "ext4", NOATIME, "discard,noinit_itable")
    except (ImageError, OSError):
        zram.remove(device)
        raise
    _overlay(LOWER, MEMORY / "root", target)
    return device


def kept_whole(target: Path, version: str) -> None:
    """The whole root on an overlay over the kept file system. Each version has its own: what was written over
    another one's files need not fit."""
    _overlay(LOWER, KEPT / "root" / version, target)


def kept_paths(target: Path, paths: Sequence[str]) -> None:
    """Each path on an overlay of its own over the kept file system; the same for every version."""
    root = Root(target)
    try:
        for path in paths:
            if not root.is_dir(path):
                root.make_dirs(path)
            place = Path("/proc/self/fd", str(root.open(path, os.O_PATH | os.O_DIRECTORY)))
            real = Path(os.readlink(place))  # noqa: PTH115 - what the root made of it
            os.close(int(place.name))
            # As in a URL: a backslash or a colon would mean something to the overlay's own options.
            _overlay(real, KEPT / "paths" / quote(path.strip("/"), safe=""), real)
    finally:
        root.close()


def open_kept(device: str, room: int) -> None:
    """Mounts the kept file system of a device, which gets one of `room` bytes if it has none yet, or a
    larger one when `room` has grown. Raises ImageError, OSError.

    A fiftieth less than may be written: then it is the file system that is full first, and says so, and not
    the device below it, whose refusal ends all writing.
    """
    wanted = (room - room // 50) // 1024
    size = ext4_size(device)
    if size is None:
        # What is zero already is not written over the network once more, not even in the background.
        lazy = "lazy_itable_init=1,lazy_journal_init=1,nodiscard"
        how = ["-q", "-F", "-t", "ext4", "-L", "bootsrv-keep", "-m", "1", "-J", "size=8", "-E", lazy]
        run(["mke2fs", *how, device, f"{wanted}k"])
    else:
        # As preen: what a power cut left is put right without a question; 1 means that it was.
        run(["e2fsck", "-p", device], good=(0, 1))
        if wanted * 1024 > size + size // 50:
            run(["e2fsck", "-f", "-p", device], good=(0, 1))
            run(["resize2fs", device, f"{wanted}K"])
    mount(device, KEPT, "ext4", NOATIME, "noinit_itable")


def file_on(folder: Path, limit: int) -> Tuple[Path, int]:
    """The file that holds the kept file system, and how large that may be: `limit` bytes, or what there is
    room for on the server. It grows with the limit and never shrinks."""
    path = folder / "kept.img"
    with path.open("ab") as file:
        there = os.fstatvfs(file.fileno())
        room = there.f_bavail * there.f_frsize + os.fstat(file.fileno()).st_blocks * 512
        limit = min(limit, room - room // 50)
        if file.tell() < limit:
            file.truncate(limit)
    return path, limit


def ext4_size(device: str) -> Optional[int]:
    """Bytes that the file system on a device takes; None where there is none."""
    with open(device, "rb") as file:  # noqa: PTH123 - a device
        file.seek(SUPERBLOCK)
        data = file.read(1024)
    if data[0x38:0x3A] != EXT4_MAGIC:
        return None
    blocks, shift = int.from_bytes(data[4:8], "little"), int.from_bytes(data[24:28], "little")
    return blocks << (10 + shift)


def _overlay(lower: Path, home: Path, target: Path) -> None:
    upper, work = home / "upper", home / "work"
    if work.exists():  # what a power cut left there is of no use, and may be half of anything
        shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True, exist_ok=True)
    if not upper.exists():
        upper.mkdir()
        made, info = str(upper), lower.stat()
        os.chown(made, info.st_uid, info.st_gid)
        upper.chmod(info.st_mode & 0o7777)
    data = f"lowerdir={lower},upperdir={upper},workdir={work}"
    mount("bootsrv-root", target, "overlay", NOATIME, data)
