"""mount(2), loop devices and what goes with them, without programs: the first RAM disk has none.

Python 3.8, standard library only. Raises OSError whose text names what was to be mounted.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import subprocess
from pathlib import Path
from typing import Iterable

RDONLY, NOSUID, NODEV, NOATIME, BIND, MOVE = 1, 2, 4, 1024, 4096, 8192
DETACH = 2
LOOP_CONTROL, LOOP_CTL_GET_FREE, LOOP_SET_FD, LOOP_CLR_FD = "/dev/loop-control", 0x4C82, 0x4C00, 0x4C01
_libc = ctypes.CDLL(None, use_errno=True)


def mount(source: str, target: Path, kind: str, flags: int = 0, data: str = "") -> None:
    """`target` is made when it is missing."""
    target.mkdir(parents=True, exist_ok=True)
    words = [os.fsencode(word) or None for word in (source, str(target), kind)]
    if _libc.mount(*words, ctypes.c_ulong(flags), os.fsencode(data) or None):
        code = ctypes.get_errno()
        raise OSError(code, f"{os.strerror(code)} ({kind or 'mount'} {source})", str(target))


def unmount(target: Path) -> None:
    """Now, whoever uses it; nothing happens where nothing is mounted."""
    _libc.umount2(os.fsencode(str(target)), DETACH)


def loop(path: Path, read_only: bool) -> str:
    """A loop device over a file; its name. It goes when its last user does (autoclear is the mount's)."""
    control = os.open(LOOP_CONTROL, os.O_RDWR | os.O_CLOEXEC)
    try:
        number = fcntl.ioctl(control, LOOP_CTL_GET_FREE)
    finally:
        os.close(control)
    name = f"/dev/loop{number}"
    mode = os.O_RDONLY if read_only else os.O_RDWR
    device, file = os.open(name, mode | os.O_CLOEXEC), os.open(str(path), mode | os.O_CLOEXEC)
    try:
        fcntl.ioctl(device, LOOP_SET_FD, file)
    finally:
        os.close(file)
        os.close(device)
    return name


def let_go(device: str) -> None:
    """Takes a loop device off its file."""
    try:
        handle = os.open(device, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        fcntl.ioctl(handle, LOOP_CLR_FD)
    except OSError:  # not in use any more
        pass
    finally:
        os.close(handle)


def modprobe(names: Iterable[str]) -> None:
    """Loads modules by name or alias; one that the kernel has built in, or has not, is no error here."""
    wanted = list(names)
    for first in range(0, len(wanted), 500):
        subprocess.run(["modprobe", "-q", "-a", "-b", *wanted[first : first + 500]], check=False)
