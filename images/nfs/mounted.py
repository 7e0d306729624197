"""The file systems that are exported, each in a file of its own, mounted where we say.

    roots    a version's EROFS image, read only (images/erofs/writing.py)
    writes   an ext4 file system for one machine, as large as it may write

A file system of its own is what keeps a machine to its own files (export.py), and what gives it a limit: at
its end the machine reads "no space left", and nobody else notices.
"""

from __future__ import annotations

import logging
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from images.disk import create, publish_file, temp_path
from images.errors import ImageError
from images.nfs.server import tool

log = logging.getLogger(__name__)
MIB = 1 << 20
LEAST_LIMIT = 64 * MIB


class MountFailed(ImageError):
    """A file system could not be made or mounted; the text has the tool's own words."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Bytes."""

    used: int
    limit: int


def prepare(mounts: Path, *folders: str) -> None:
    """Directories to mount below. Anybody may walk through them, as clients of the kernel's server must by
    version 4, and see no names in them. Raises OSError."""
    for folder in (mounts, *(mounts / name for name in folders)):
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o711)


def mount_root(image: Path, target: Path) -> None:
    """Mount a version's image read only; nothing when it is mounted. Raises MountFailed."""
    _mount(image, target, "erofs", "ro,nodev,nosuid,noexec,loop")


def mount_writes(image: Path, target: Path, limit: int) -> None:
    """Mount a machine's own file system, made or grown to hold `limit` bytes. It never shrinks.

    Raises MountFailed, OSError (disk full)."""
    wanted = room(limit)
    if not image.exists():
        _make(image, wanted)
    grown = image.stat().st_size < wanted
    if grown:
        os.truncate(image, wanted)
    if not _is_mount(target):
        # As preen: what a power cut left is put right without a question; 1 means that it was.
        _run([tool("e2fsck") or "e2fsck", "-f", "-p", str(image)], good=(0, 1))
        _run([tool("resize2fs") or "resize2fs", str(image)])
        _mount(image, target, "ext4", "nodev,nosuid,noexec,noatime,loop")
        target.chmod(0o700)
    elif grown:
        _grow(target)


def _grow(target: Path) -> None:
    """While it is in use; that needs CAP_SYS_RESOURCE, without which it grows at the next start."""
    device = _run([tool("findmnt") or "findmnt", "-n", "-o", "SOURCE", str(target)]).strip()
    try:
        _run([tool("losetup") or "losetup", "-c", device])
        _run([tool("resize2fs") or "resize2fs", device])
    except MountFailed as error:
        log.warning("%s grows at the next start of the service: %s", target, error)


def room(limit: int) -> int:
    """Bytes of a file system that holds a file of `limit` bytes: inodes, journal and maps come on top."""
    limit = max(limit, LEAST_LIMIT)
    return -(-(limit + limit // 32 + 24 * MIB) // MIB) * MIB


def unmount(target: Path) -> None:
    """Take a mount away, now for new users and with its last user for good. Raises MountFailed."""
    if _is_mount(target):
        _run([tool("umount") or "umount", "-l", str(target)])
    if target.is_dir():
        target.rmdir()


def usage(target: Path) -> Usage:
    """How full a mounted file system is."""
    facts = os.statvfs(target)
    return Usage((facts.f_blocks - facts.f_bfree) * facts.f_frsize, facts.f_blocks * facts.f_frsize)


def _make(image: Path, size: int) -> None:
    """It appears when it is whole."""
    temp = temp_path(image.parent, image.name)
    try:
        fd = create(temp, 0o600)
        try:
            os.truncate(fd, size)
        finally:
            os.close(fd)
        options = ["-q", "-F", "-t", "ext4", "-m", "0", "-T", "largefile", "-L", "bootsrv-writes"]
        _run([tool("mke2fs") or "mke2fs", *options, "-E", "lazy_itable_init=1,root_owner=0:0", str(temp)])
        fd = os.open(temp, os.O_RDWR)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
        publish_file(temp, image)
    except BaseException:
        temp.unlink(missing_ok=True)
        raise


def _mount(image: Path, target: Path, kind: str, options: str) -> None:
    if _is_mount(target):
        return
    target.mkdir(mode=0o700, parents=True, exist_ok=True)
    _run([tool("mount") or "mount", "-t", kind, "-o", options, str(image), str(target)])


def _is_mount(target: Path) -> bool:
    return os.path.ismount(target)


def _run(words: list[str | Path], good: tuple[int, ...] = (0,)) -> str:
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode not in good:
        said = [*done.stdout.strip().splitlines(), *done.stderr.strip().splitlines()]
        raise MountFailed(f"{' '.join(map(str, words))}: {said[-1] if said else done.returncode}")
    return done.stdout
