"""The boot menu of an imaged disk, and which kernel in the image it starts.

Pure but for reading names through `Root`. Everything is found by file system UUID, so that the disk boots
wherever it is plugged in and whichever number the firmware gives it. Python 3.8, standard library only.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from images.agent.rootfs import Root
from images.errors import BadInput

# Everything that is needed to read the menu and start a kernel, so that neither core loads a module from
# disk.
MODULES = (
    "part_gpt", "part_msdos", "ext2", "xfs", "btrfs", "fat", "search", "search_fs_uuid", "search_label",
    "search_fs_file", "normal", "configfile", "linux", "echo", "test", "true", "ls", "cat", "help", "minicmd",
    "boot", "reboot", "halt", "sleep", "gzio", "serial", "terminal", "chain", "loadenv", "all_video",
)  # fmt: skip
FOR = {"raid": ("diskfilter", "mdraid1x", "raid5rec"), "lvm": ("diskfilter", "lvm"), "luks": ()}
ONLY_BIOS = ("biosdisk", "vga")
ONLY_EFI = ("efi_gop", "efi_uga", "efifwsetup")
TIMEOUT = 1  # seconds; long enough to press a key


class Kernel(NamedTuple):
    """Paths inside the file system that holds /boot, and its version for people."""

    image: str
    initrd: str | None
    version: str


def natural(text: str) -> tuple[tuple[int, object], ...]:
    """Sort key under which 6.10 comes after 6.9, and a release after its candidate (6.1~rc1)."""
    parts = re.findall(r"\d+|~|[^\d~]+", text)
    key = [(2, int(p)) if p.isdigit() else (0, p) if p == "~" else (3, p) for p in parts]
    return (*key, (1, ""))


def kernels_among(names: list[str]) -> list[tuple[str, str]]:
    """(version, name) of each name in /boot that is a kernel's."""
    found = [(name, re.match(r"(vmlinuz|vmlinux|kernel|bzImage)(?:-(.+))?\Z", name)) for name in names]
    return [
        (m.group(2) or "", name) for name, m in found if m and not name.endswith((".old", ".sig", ".hmac"))
    ]


def find_kernel(root: Root) -> Kernel:
    """The newest kernel of the image with its initrd. BadInput when there is none."""
    names = root.list("/boot")
    rows = kernels_among(names)
    if not rows:
        raise BadInput("the image has no kernel in /boot, so it cannot boot from a disk")
    version, name = max(rows, key=lambda row: ("rescue" not in row[0], natural(row[0])))
    return Kernel(f"/boot/{name}", _initrd(names, version), version or name)


def _initrd(names: list[str], version: str) -> str | None:
    """Debian, Red Hat, SUSE, Arch and Alpine each have a way to name it."""
    tail = f"-{version}" if version else ""
    for name in (f"initrd.img{tail}", f"initramfs{tail}.img", f"initrd{tail}", f"initramfs{tail}"):
        if name in names:
            return f"/boot/{name}"
    return None


def command_line(
    root: str, root_fs: str, image_args: str, own_cmdline: str, image_resume: bool = False
) -> str:
    """The kernel's arguments: `root` (UUID=... or a device), then the image's; the imager's consoles where
    none is named.
    """
    args = image_args.split()
    if not any(a.startswith("console=") for a in args):
        args += [word for word in own_cmdline.split() if word.startswith("console=")]
    if image_resume and not any(a.startswith(("resume=", "noresume")) for a in args):
        args.append("noresume")  # the swap it names is on another machine, and its initrd would wait for it
    return " ".join(
        [f"root={root}", *([f"rootfstype={root_fs}"] if root_fs == "xfs" else []), "ro", *args]
    )


def menu(title: str, boot_uuid: str, kernel: Kernel, arguments: str, separate_boot: bool = False) -> str:
    """grub.cfg with one entry. Serial consoles get the menu too when the kernel uses one."""
    cut = len("/boot") if separate_boot else 0
    lines = ["# Written by bootsrv when this machine was imaged.", f"set timeout={TIMEOUT}", "set default=0"]
    serial = re.search(r"console=ttyS(\d)(?:,(\d+))?", arguments)
    if serial:
        lines += [f"serial --unit={serial.group(1)} --speed={serial.group(2) or 115200}"]
        lines += ["terminal_input console serial", "terminal_output console serial"]
    lines += [f"search --no-floppy --fs-uuid --set=root {boot_uuid}", ""]
    lines += [f"menuentry '{_plain(title)}' {{", f"    linux {kernel.image[cut:]} {_quote(arguments)}"]
    if kernel.initrd:
        lines += [f"    initrd {kernel.initrd[cut:]}"]
    return "\n".join([*lines, "}", ""])


def embedded(boot_uuid: str, separate_boot: bool = False) -> str:
    """The little script inside the loader: finds the disk's menu by UUID."""
    folder = "/grub" if separate_boot else "/boot/grub"
    return (
        f"search.fs_uuid {boot_uuid} root\nset prefix=($root){folder}\nconfigfile ($root){folder}/grub.cfg\n"
    )


def _plain(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9 ._@()+-]", "_", text)


def _quote(arguments: str) -> str:
    """GRUB's shell expands $ and splits at ; outside quotes."""
    return " ".join(
        w if re.fullmatch(r"[\w=/.,:@%+-]+", w) else "'" + w.replace("'", "") + "'" for w in arguments.split()
    )
