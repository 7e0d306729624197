"""Leaves the imager: restart, power off, or straight into the imaged system's kernel.

Python 3.8, standard library only.
"""

from __future__ import annotations

import ctypes
import os
import time
from pathlib import Path

from images.agent.rootfs import Root
from images.agent.run import run
from images.errors import ImageError

AUTOBOOT, POWER_OFF = 0x01234567, 0x4321FEDC  # reboot(2)


def restart() -> None:
    """Restarts the machine by its firmware. Does not come back."""
    _reboot(AUTOBOOT)


def power_off() -> None:
    """Switches the machine off. Does not come back."""
    _reboot(POWER_OFF)


def load_kernel(target: Path, arguments: str) -> None:
    """Loads the imaged system's kernel for `jump`. `target` is its mounted root."""
    from images.agent.grubcfg import find_kernel  # only here: the agent starts sooner without

    root = Root(target)
    try:
        kernel = find_kernel(root)
        image, initrd = root.read(kernel.image), root.read(kernel.initrd) if kernel.initrd else None
    finally:
        root.close()
    folder = Path("/run/kexec")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "kernel").write_bytes(image or b"")
    command = ["kexec", "-a", "-l", str(folder / "kernel"), f"--command-line={arguments}"]
    if initrd is not None:
        (folder / "initrd").write_bytes(initrd)
        command.append(f"--initrd={folder / 'initrd'}")
    run(command)


def jump() -> None:
    """Starts the loaded kernel. Does not come back, or raises ImageError."""
    os.sync()
    run(["kexec", "-e"])
    raise ImageError("kexec came back")


def _reboot(how: int) -> None:
    os.sync()
    ctypes.CDLL(None, use_errno=True).reboot(ctypes.c_int(how))
    time.sleep(60)  # the call returns before the machine goes on some firmware
    raise ImageError("the machine did not restart")
