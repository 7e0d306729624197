"""A block device in memory that compresses what is written to it (Linux, admin-guide/blockdev/zram).

How it compresses is the kernel's own choice, or the first of a few that it can do. Python 3.8, standard
library only.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Optional

from images.agent.netroot.mounts import modprobe

CONTROL = Path("/sys/class/zram-control")
BLOCK = Path("/sys/block")
ALGORITHMS = ("", "lzo-rle", "lz4", "lzo", "zstd")  # "": the one that is set


def create(size: int) -> Optional[str]:
    """The device, `size` bytes large; None: this kernel has none, or none that compresses."""
    modprobe(["zram"])
    try:
        number = int((CONTROL / "hot_add").read_text())
    except FileNotFoundError:
        return None
    home = BLOCK / f"zram{number}"
    for algorithm in ALGORITHMS:
        try:
            if algorithm:
                (home / "comp_algorithm").write_text(algorithm)
            (home / "disksize").write_text(str(size))
        except OSError:  # that one is not among this kernel's modules
            continue
        return f"/dev/zram{number}"
    remove(f"/dev/zram{number}")
    return None


def remove(device: str) -> None:
    """Gives its memory back; one that is still in use stays."""
    name = device.rpartition("/")[2]
    with suppress(OSError):
        (BLOCK / name / "reset").write_text("1")
        (CONTROL / "hot_remove").write_text(name[len("zram") :])


def half_of_memory() -> int:
    """Bytes, as a tmpfs takes for its limit when nobody gives one."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
