"""What touches the whole disk: wiping it, partitioning, making file systems, mounting.

The law: nothing here runs before a `DiskPlan` exists, and the first thing it does is to make the disk
unbootable (boot code, tables, old file systems), so that power may fail at any moment after it. The boot
loader comes last, elsewhere. Python 3.8, standard library only; uses sfdisk and mkfs.*.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Callable, Optional

from images.agent.run import run
from images.diskplan import partition_path, sfdisk_script
from images.errors import ImageError
from images.layout import MIB, DiskPlan, Extent, Partition
from images.octal import plain
from images.sizes import human
from images.storage import Place, Storage

BOOT_CODE = 440  # bytes of the first sector before the disk signature and the table
HEAD = 4 * MIB  # boot code, GPT and the first partition's head
BLKDISCARD, BLKZEROOUT = 0x1277, 0x127F  # linux/fs.h; argument: start and length in bytes
CLEAR_STEP = 1 << 30
TAIL = 2 * MIB  # backup GPT, old RAID superblocks
NODE_PATIENCE = 15.0  # seconds for the kernel to show new partitions
SETTLE = 15  # seconds for udevd to have done what it was told of
UDEVD = Path("/run/udev/control")
# What file systems of the last years agree on: older e2fsprogs refuse these two, and no boot loader misses
# them.
EXT4 = ("-O", "^orphan_file,^metadata_csum_seed", "-E", "lazy_itable_init=1,lazy_journal_init=1", "-m", "1")
XFS = ("-i", "nrext64=0", "-m", "rmapbt=0")  # both are defaults that kernels before 5.19 cannot mount


def wipe(disk: str, old: Sequence[tuple[int, int]], new: Sequence[Extent]) -> None:
    """Zeroes boot code, tables and every place where a file system could be found again.

    `old` are (start, size) in bytes of the partitions that were there. The very first sectors go first, and
    are on the disk before anything else is written.
    """
    handle = os.open(disk, os.O_RDWR | os.O_EXCL | os.O_CLOEXEC)  # EXCL: fails while anything is mounted
    try:
        size = os.lseek(handle, 0, os.SEEK_END)
        _zero(handle, 0, HEAD, size)
        os.fsync(handle)
        _zero(handle, size - TAIL, TAIL, size)
        for start, length in (*old, *((e.start, e.size) for e in new)):
            _zero(handle, start, min(MIB, length), size)
            _zero(handle, start + max(0, length - MIB), min(MIB, length), size)
        os.fsync(handle)
    finally:
        os.close(handle)


def clear(disk: str, say: Callable[[str], None]) -> None:
    """Discards the whole disk; one that cannot discard is overwritten with zeros, which may take hours."""
    handle = os.open(disk, os.O_RDWR | os.O_EXCL | os.O_CLOEXEC)
    try:
        size = os.lseek(handle, 0, os.SEEK_END)
        try:
            fcntl.ioctl(handle, BLKDISCARD, struct.pack("QQ", 0, size))
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.ENOTTY, errno.EINVAL):
                raise
            for start in range(0, size, CLEAR_STEP):
                if start % (16 * CLEAR_STEP) == 0:
                    say(f"{disk} cannot discard: overwriting it, {human(start)} of {human(size)} done")
                fcntl.ioctl(handle, BLKZEROOUT, struct.pack("QQ", start, min(CLEAR_STEP, size - start)))
        os.fsync(handle)
    finally:
        os.close(handle)


def _zero(handle: int, start: int, length: int, size: int) -> None:
    begin = max(0, min(start, size))
    os.pwrite(handle, bytes(max(0, min(length, size - begin))), begin)


def unboot(disk: str, heads: Sequence[int]) -> None:
    """Takes away what the firmware would start, and leaves the table: boot code, and these places' heads.

    `heads`: starts in bytes of the ESP and BIOS boot partitions.
    """
    handle = os.open(disk, os.O_RDWR | os.O_EXCL | os.O_CLOEXEC)
    try:
        os.pwrite(handle, bytes(BOOT_CODE), 0)
        os.fsync(handle)
        for start in heads:
            os.pwrite(handle, bytes(64 * 1024), start)
        os.fsync(handle)
    finally:
        os.close(handle)
    settle()


def settle() -> None:
    """Waits until udevd has nothing to do, where there is one.

    It reads the table again whenever a disk was open for writing (60-block.rules), and for that moment the
    kernel takes all partitions away: whoever uses one then is told that there is no such device.
    """
    if UDEVD.exists():
        run(["udevadm", "settle", f"--timeout={SETTLE}"], good=(0, 1))  # 1: it is still busy


def clear_heads(device: str) -> None:
    """Zeroes the places of a device where a file system, array or group could be found again."""
    handle = os.open(device, os.O_RDWR | os.O_EXCL | os.O_CLOEXEC)
    try:
        size = os.lseek(handle, 0, os.SEEK_END)
        _zero(handle, 0, MIB, size)
        _zero(handle, size - MIB, MIB, size)
        os.fsync(handle)
    finally:
        os.close(handle)


def old_partitions(disk: str, root: Path = Path("/sys/block")) -> list[tuple[int, int]]:
    """(start, size) in bytes of the partitions the kernel knows on this disk."""
    folder = root / Path(disk).name
    parts = [p for p in folder.glob(f"{folder.name}*") if (p / "partition").exists()]
    return [(int((p / "start").read_text()) * 512, int((p / "size").read_text()) * 512) for p in parts]


def partition(disk: str, plan: DiskPlan, disk_guid: str, guids: Sequence[str]) -> None:
    """Writes the table and waits until every partition has its device with the right size."""
    script = sfdisk_script(plan, disk_guid, guids)
    run(["sfdisk", "--quiet", "--lock=yes", "--wipe=always", "--wipe-partitions=always", disk], script)
    settle()
    for extent in plan.extents:
        _wait_for_partition(disk, extent)


def _wait_for_partition(disk: str, extent: Extent, classes: Path = Path("/sys/class/block")) -> None:
    path = Path(partition_path(disk, extent.number))
    end = time.monotonic() + NODE_PATIENCE
    while not (path.exists() and _size_in(classes / path.name / "size") == extent.size):
        if time.monotonic() > end:
            raise ImageError(f"{path} did not appear with {extent.size} bytes after partitioning")
        time.sleep(0.02)


def _size_in(attribute: Path) -> Optional[int]:
    """Bytes; None while there is no such partition, also when the kernel takes it away under the reader."""
    try:
        return int(attribute.read_text()) * 512
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENODEV):
            return None
        raise


def label_of(part: Partition) -> str:
    """The label that its file system gets; "" for none."""
    return part.label or ("" if part.role == "data" else part.role)


def make_filesystem(path: str, part: Partition, size: int, uuid: str, files: int) -> None:
    """Makes the file system with this UUID. `files`: inodes that the image needs on root."""
    label = label_of(part)
    if part.fs == "ext4":
        inodes = max(size // 16384, files * 2, 1024)
        named = ["-L", label] if label else []
        run(["mkfs.ext4", "-F", "-q", "-U", uuid, "-N", str(inodes), *EXT4, *named, path])
    elif part.fs == "xfs":
        named = ["-L", label] if label else []
        run(["mkfs.xfs", "-f", "-q", *XFS, "-m", f"uuid={uuid}", *named, path])
    elif part.fs == "btrfs":
        named = ["-L", label] if label else []
        run(["mkfs.btrfs", "-f", "-q", "-U", uuid, *named, path])
    elif part.fs == "vfat":
        named = ["-n", label.upper()] if label else []
        run(["mkfs.vfat", "-F", "32", "-i", uuid.replace("-", ""), *named, path])
    elif part.fs == "swap":
        run(["mkswap", "-q", "-U", uuid, *(["-L", label] if label else []), path])


def new_uuid(fs: str) -> str:
    """A random UUID as this file system writes it (VFAT: eight hex digits, "ABCD-1234")."""
    raw = bytearray(os.urandom(16))
    raw[6], raw[8] = raw[6] & 0x0F | 0x40, raw[8] & 0x3F | 0x80
    text = raw.hex()
    if fs == "vfat":
        return f"{text[:4]}-{text[8:12]}".upper()
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


def mount(place: Place, target: Path) -> Path:
    """Mounts one place at its point below `target`; where that is.

    Barriers are off: until the final unmount nobody will boot this disk anyway.
    """
    fs = place.partition.fs
    where = target / (place.partition.mount or "/").lstrip("/")
    where.mkdir(parents=True, exist_ok=True)
    options = {"ext4": "noatime,nobarrier", "btrfs": "noatime,nobarrier"}.get(fs, "noatime")
    run(["mount", "-t", fs, "-o", options, place.device, str(where)])
    return where


def mountable(storage: Storage) -> list[Place]:
    """What the image's files go to, outermost first; the ESP, swap and what is kept stay out.

    (VFAT keeps no owners, so an image's files below /boot/efi must not land on it.)
    """
    places = [
        p
        for p in storage.places
        if p.partition.mount and p.partition.fs in ("ext4", "xfs", "btrfs") and not p.partition.keep
    ]
    return sorted(places, key=lambda p: p.partition.mount or "")


def mount_all(storage: Storage, target: Path) -> None:
    """Mounts all of these."""
    for place in mountable(storage):
        mount(place, target)


def unmount_all(target: Path, mounts: Path = Path("/proc/self/mounts")) -> None:
    """Unmounts everything at or below `target`, innermost first."""
    rows = [plain(line.split()[1]) for line in mounts.read_text().splitlines()]
    for where in reversed(rows):
        if where == str(target) or where.startswith(f"{target}/"):
            run(["umount", where])


def check_filesystem(path: str, fs: str) -> None:
    """A read-only check by the file system's own tool. CommandFailed names what it found."""
    if fs == "ext4":
        run(["e2fsck", "-f", "-n", path])
    elif fs == "xfs":
        run(["xfs_repair", "-n", path])
    elif fs == "btrfs":
        run(["btrfs", "check", "--readonly", path])
    elif fs == "vfat":
        run(["fsck.fat", "-n", path])
