"""Trees made to be nasty, and a way to look at them that shares no code with the product.

`snapshot` walks with os.lstat and tells everything a file system knows; two snapshots are equal exactly when
nobody could tell the trees apart.
"""

from __future__ import annotations

import errno
import hashlib
import os
import socket
import stat
import struct
from pathlib import Path
from typing import Any

ACL = struct.pack("<I", 2) + b"".join(
    struct.pack("<HHI", *row)
    for row in [
        (1, 7, 2**32 - 1),
        (2, 5, 1234),
        (4, 5, 2**32 - 1),
        (8, 1, 77),
        (16, 5, 2**32 - 1),
        (32, 0, 2**32 - 1),
    ]
)
CAPABILITY = struct.pack("<IIIII", 0x02000001, 1 << 10, 0, 0, 0)  # cap_net_bind_service+ep


def build(root: Path) -> None:
    """Everything at once. Needs root."""
    top = os.fsencode(root)
    for name in (
        b"etc",
        b"dev",
        b"a",
        b"a/b",
        b"a-b",
        b"deep",
        b"sp ace",
        b"new\nline",
        b"\xff\xfe\x80",
        "ü".encode(),
    ):
        os.mkdir(top + b"/" + name, 0o755)
    os.chmod(top + b"/a", 0o1777)
    _file(top + b"/etc/hostname", b"x\n", 0o644)
    _file(top + b"/a/suid", b"#!", 0o4755, uid=1234, gid=77)
    _file(top + b"/a/sgid", b"#!", 0o2711, gid=77)
    _file(top + b"/a/none", b"secret", 0o000)
    _file(top + b"/empty", b"")
    _file(top + b"/big", os.urandom(700_000) + bytes(300_000) + os.urandom(1_234_567))
    _file(top + b"/\xff\xfe\x80/\x01\x7f\\name", b"any byte")
    _file(top + b"/" + b"n" * 255, b"longest name")
    with open(top + b"/sparse", "wb") as file:
        file.truncate(50 << 20)
        file.seek(3 << 20)
        file.write(os.urandom(200_000))
        file.seek(30 << 20)
        file.write(b"tail")
    with open(top + b"/hole", "wb") as file:
        file.truncate(1 << 20)
    _links(top)
    _attributes(top)
    _times(top)


def _file(path: bytes, data: bytes, mode: int = 0o640, uid: int = 0, gid: int = 0) -> None:
    with open(path, "wb") as file:
        file.write(data)
    os.chown(path, uid, gid)
    os.chmod(path, mode)


def _links(top: bytes) -> None:
    os.link(top + b"/big", top + b"/a/b/big again")
    os.link(top + b"/big", top + b"/a-b/big once more")
    os.symlink(b"../../../outside/\xff", top + b"/a/link")
    os.symlink(b"nowhere " * 60, top + b"/dangling")
    os.lchown(top + b"/dangling", 42, 43)
    os.link(top + b"/dangling", top + b"/dangling too", follow_symlinks=False)
    os.mkfifo(top + b"/dev/fifo", 0o600)
    os.mknod(top + b"/dev/null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    os.chmod(top + b"/dev/null", 0o666)
    os.mknod(top + b"/dev/block", stat.S_IFBLK | 0o660, os.makedev(259, 70000))
    os.chown(top + b"/dev/block", 0, 6)
    with socket.socket(socket.AF_UNIX) as sock:
        old = os.getcwd()
        os.chdir(top + b"/dev")
        sock.bind("socket")
        os.chdir(old)


def _attributes(top: bytes) -> None:
    os.setxattr(top + b"/a/none", "user.note", bytes(range(256)))
    os.setxattr(top + b"/empty", "user.empty", b"")
    os.setxattr(top + b"/big", "security.capability", CAPABILITY)
    os.setxattr(top + b"/a/suid", "system.posix_acl_access", ACL)
    os.setxattr(top + b"/deep", "system.posix_acl_default", ACL)
    os.setxattr(top + b"/deep", "system.posix_acl_access", ACL)
    os.setxattr(top + b"/dangling", "trusted.link", b"on a link", follow_symlinks=False)
    os.setxattr(top + b"/dev/fifo", "trusted.fifo", b"1", follow_symlinks=False)
    _file(top + b"/deep/in acl", b"no inherited acl")
    os.removexattr(top + b"/deep/in acl", "system.posix_acl_access")
    os.chmod(top + b"/deep/in acl", 0o604)
    os.setxattr(top + b"/sparse", "security.selinux", b"system_u:object_r:etc_t:s0\0")


def _times(top: bytes) -> None:
    stamp = 987_654_321_123_456_789
    for folder, names, files in os.walk(top, topdown=False):
        for name in [*files, *names]:
            stamp += 1_000_000_007
            os.utime(os.path.join(folder, name), ns=(stamp, stamp), follow_symlinks=False)
    os.utime(top + b"/empty", ns=(1, -86_400_000_000_001))  # before 1970
    os.utime(top, ns=(5, 5_000_000_001))


def snapshot(root: Path) -> dict[bytes, dict[str, Any]]:
    """Path to all that can be known of it."""
    top = os.fsencode(root)
    seen: dict[bytes, dict[str, Any]] = {}
    inodes: dict[tuple[int, int], bytes] = {}
    for folder, names, files in os.walk(top):
        if folder == top:
            seen[b""] = _look(top)
        for name in sorted([*names, *files]):
            path = os.path.join(folder, name)
            key = os.path.relpath(path, top)
            seen[key] = _look(path)
            info = os.lstat(path)
            if not stat.S_ISDIR(info.st_mode):
                inodes.setdefault((info.st_dev, info.st_ino), key)
    for path in seen:  # hard links: by the smallest name of the same inode
        info = os.lstat(os.path.join(top, path)) if path else os.lstat(top)
        group = [
            other for other in seen if other and os.path.samestat(os.lstat(os.path.join(top, other)), info)
        ]
        if not stat.S_ISDIR(info.st_mode):
            seen[path]["same as"] = min(group)
    return seen


def _look(path: bytes) -> dict[str, Any]:
    info = os.lstat(path)
    keys = os.listxattr(path, follow_symlinks=False)
    row: dict[str, Any] = {
        "mode": oct(info.st_mode), "uid": info.st_uid, "gid": info.st_gid, "mtime": info.st_mtime_ns,
        "xattrs": {key: os.getxattr(path, key, follow_symlinks=False) for key in keys},
    }  # fmt: skip
    if stat.S_ISLNK(info.st_mode):
        row["target"] = os.readlink(path)
    if stat.S_ISCHR(info.st_mode) or stat.S_ISBLK(info.st_mode):
        row["rdev"] = info.st_rdev
    if stat.S_ISREG(info.st_mode):
        row["size"] = info.st_size
        with open(path, "rb") as file:
            row["data"] = hashlib.sha256(file.read()).hexdigest()
            row["holes"] = _holes(file.fileno(), info.st_size)
    return row


def _holes(fd: int, size: int) -> list[tuple[int, int]]:
    found, place = [], 0
    while place < size:
        try:
            start = os.lseek(fd, place, os.SEEK_DATA)
        except OSError as err:
            if err.errno != errno.ENXIO:
                raise
            break
        place = os.lseek(fd, start, os.SEEK_HOLE)
        found.append((start, place))
    return found
