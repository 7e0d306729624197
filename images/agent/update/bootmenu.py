"""The boot menu that imaging wrote, after an update brought another kernel. Python 3.8, standard library
only."""

from __future__ import annotations

import re
from pathlib import Path

from images.agent.grubcfg import Kernel, find_kernel
from images.agent.rootfs import Root
from images.errors import BadInput

MENU = "/boot/grub/grub.cfg"
OURS = "# Written by bootsrv"
_KERNEL = re.compile(r"^( +linux )(\S+)", re.MULTILINE)
_INITRD = re.compile(r"^( +initrd )(\S+)", re.MULTILINE)
_TITLE = re.compile(r"^(menuentry '[^'(]*\()[^)']*(\))", re.MULTILINE)


def renew(root: Path, ref: str = "") -> str:
    """Lets our menu start the newest kernel that is installed; its version, "" where the menu is not ours."""
    inside = Root(root)
    try:
        text = inside.read_text(MENU)
        if not text.startswith(OURS):
            return ""
        try:
            kernel = find_kernel(inside)
        except BadInput:  # an image without one; what the menu says stays
            return ""
        made = renewed(text, kernel, ref)
        if made != text:
            inside.write(MENU, made)
        return kernel.version
    finally:
        inside.close()


def renewed(text: str, kernel: Kernel, ref: str = "") -> str:
    """The menu's text with this kernel. Paths keep the form they have: with a /boot of its own they lack
    /boot.
    """
    old = _KERNEL.search(text)
    cut = 0 if old is None or old.group(2).startswith("/boot/") else len("/boot")
    text = _KERNEL.sub(lambda m: m.group(1) + kernel.image[cut:], text)
    if kernel.initrd is not None:
        initrd = kernel.initrd[cut:]
        text = _INITRD.sub(lambda m: m.group(1) + initrd, text)
    if ref:
        text = _TITLE.sub(lambda m: m.group(1) + re.sub(r"[^A-Za-z0-9 ._@+-]", "_", ref) + m.group(2), text)
    return text
