"""Trees that a seed makes, and what a running system may have done to one since it was imaged."""

from __future__ import annotations

import os
import random
import shutil
import stat
import subprocess
from pathlib import Path

from nastytree import ACL, CAPABILITY

NAMES = (b"a", b"b", b"a-b", b"c.d", b"\xff\x80", b"new\nline", b"sp ace", b"q\"uote", b"back\\slash")
STAMP = 1_500_000_000_000_000_001


def grow(top: bytes, dice: random.Random, room: int = 60) -> None:
    """A tree of up to `room` names of every kind below `top`."""
    folders, files = [top, top + b"/etc"], []
    os.makedirs(top + b"/etc", exist_ok=True)
    for _ in range(room):
        path = dice.choice(folders) + b"/" + dice.choice(NAMES)
        if os.path.lexists(path):
            continue
        kind = dice.choice(("dir", "dir", "file", "file", "file", "sparse", "link", "hard", "node"))
        if kind == "dir" and path.count(b"/") - top.count(b"/") < 5:
            os.mkdir(path)
            folders.append(path)
            if dice.random() < 0.2:
                os.setxattr(path, "system.posix_acl_default", ACL)
        elif kind == "link":
            os.symlink(dice.choice((b"/etc", b"..", b"nowhere", b"a")), path)
        elif kind == "node":
            os.mkfifo(path) if dice.random() < 0.5 else os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 3))
        elif kind == "hard" and files:
            os.link(dice.choice(files), path)
        else:
            _file(path, kind == "sparse", dice)
            files.append(path)
    settle(top, dice)


def _file(path: bytes, sparse: bool, dice: random.Random) -> None:
    with open(path, "wb") as file:
        if sparse:
            file.truncate(1 << 18)
            file.seek(1 << 16)
            file.write(dice.randbytes(9000))
        else:
            file.write(dice.randbytes(dice.choice((0, 1, 100, 5000, 70_000))))
    os.chmod(path, dice.choice((0o644, 0o600, 0o4755, 0o000)))
    if dice.random() < 0.3:
        os.chown(path, dice.randrange(3), dice.randrange(3))
    if dice.random() < 0.2:
        os.setxattr(path, "user.note", dice.randbytes(3))
    if dice.random() < 0.1:
        os.setxattr(path, "security.capability", CAPABILITY)


def settle(top: bytes, dice: random.Random) -> None:
    """Times, innermost first."""
    for folder, names, files in os.walk(top, topdown=False):
        for name in (*names, *files):
            when = STAMP + dice.randrange(5) * 10**9
            os.utime(os.path.join(folder, name), ns=(when, when), follow_symlinks=False)
    os.utime(top, ns=(STAMP, STAMP))


def live(top: bytes, dice: random.Random) -> None:
    """Some names are changed in every way that there is, and some of them are made unchangeable."""
    places = [
        os.path.join(folder, name)
        for folder, names, files in os.walk(top)
        for name in (*names, *files)
        if folder != top or name != b"lost+found"
    ]
    dice.shuffle(places)
    for path in places[: len(places) // 2]:
        if not os.path.lexists(path):
            continue
        info = os.lstat(path)
        deed = dice.choice(("rot", "gone", "kind", "mode", "owner", "xattr", "time", "fill", "more", "move"))
        if deed == "gone" or deed == "kind":
            shutil.rmtree(path) if stat.S_ISDIR(info.st_mode) else os.unlink(path)
            if deed == "kind":
                other = dice.choice((_folder, _link, _plain, os.mkfifo))
                other(path)
        elif deed == "mode" and not stat.S_ISLNK(info.st_mode):
            os.chmod(path, 0o707)
        elif deed == "owner":
            os.lchown(path, 7, 8)
        elif deed == "xattr":
            os.setxattr(path, "trusted.local", b"1", follow_symlinks=False)
        elif deed == "time":
            os.utime(path, ns=(1, 2), follow_symlinks=False)
        elif deed == "move":
            os.rename(path, path + b".moved")
        elif stat.S_ISREG(info.st_mode):
            _spoil(path, info, deed)
        elif stat.S_ISDIR(info.st_mode):
            grow(path, dice, 6)
    for path in dice.sample(places, min(6, len(places))):
        if os.path.isfile(path) or os.path.isdir(path):
            flag = dice.choice(("+i", "+a", "+d", "+A"))
            done = subprocess.run([b"chattr", flag, b"--", path], capture_output=True, check=False)
            assert done.returncode == 0 or os.path.islink(path), done.stderr


def _spoil(path: bytes, info: os.stat_result, deed: str) -> None:
    """Content that differs under the same size and time, holes that are filled, a second name."""
    if deed == "more":
        os.link(path, path + b".also")
        return
    with open(path, "r+b") as file:
        if deed == "fill":
            data = file.read()
            file.seek(0)
            file.write(data)
        elif info.st_size:
            file.seek(info.st_size // 2)
            old = file.read(1)
            file.seek(info.st_size // 2)
            file.write(bytes([old[0] ^ 1]))
    os.utime(path, ns=(info.st_atime_ns, info.st_mtime_ns))


def _folder(path: bytes) -> None:
    os.mkdir(path)
    _plain(path + b"/inside")


def _link(path: bytes) -> None:
    os.symlink(b"/etc/passwd", path)


def _plain(path: bytes) -> None:
    with open(path, "wb") as file:
        file.write(b"local\n")


def free(top: Path) -> None:
    """No flag keeps a test's directory from being removed."""
    subprocess.run(["chattr", "-R", "-f", "-i", "-a", "--", str(top)], capture_output=True, check=False)
