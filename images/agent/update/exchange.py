"""renameat2(2): two names change places, or one takes a free place, in one step that a power cut cannot
halve.

Exchanging needs Linux 3.15 and a file system that knows it (ext4, xfs, btrfs, f2fs, tmpfs; vfat since 6.0);
`supported` asks the directory itself before anything depends on it. Python 3.8, standard library only.
"""

from __future__ import annotations

import ctypes
import os

NOREPLACE, EXCHANGE = 1, 2
NUMBERS = {"x86_64": 316, "aarch64": 276, "riscv64": 276, "ppc64le": 357, "s390x": 347}
_libc = ctypes.CDLL(None, use_errno=True)


def _renameat2(old_dir: int, old: bytes, new_dir: int, new: bytes, flags: int) -> None:
    if hasattr(_libc, "renameat2"):  # glibc 2.28, musl 1.2.6
        done = _libc.renameat2(old_dir, old, new_dir, new, flags)
    else:
        number = NUMBERS.get(os.uname().machine, NUMBERS["x86_64"])
        done = _libc.syscall(number, old_dir, old, new_dir, new, ctypes.c_uint(flags))
    if done != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), os.fsdecode(new))


def exchange(old_dir: int, old: bytes, new_dir: int, new: bytes) -> None:
    """Both names exist, each below an open directory; afterwards each names what the other did."""
    _renameat2(old_dir, old, new_dir, new, EXCHANGE)


def place(old_dir: int, old: bytes, new_dir: int, new: bytes) -> None:
    """Moves `old` to `new`, which is free. Raises FileExistsError."""
    _renameat2(old_dir, old, new_dir, new, NOREPLACE)


def supported(folder: int) -> bool:
    """Whether the file system of this open directory can exchange names; leaves nothing behind."""
    names = (b".exchange-a", b".exchange-b")
    for name in names:
        os.close(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600, dir_fd=folder))
    try:
        exchange(folder, names[0], folder, names[1])
    except OSError:
        return False
    finally:
        for name in names:
            os.unlink(name, dir_fd=folder)
    return True


def sync_filesystem(folder: int) -> None:
    """Everything of the file system that holds this open directory is on its disk when this returns."""
    if _libc.syncfs(folder) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
