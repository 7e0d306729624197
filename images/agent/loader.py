"""Makes the disk bootable, by BIOS and by UEFI. The last thing that is done to it.

GRUB's own tools that guess (grub-install) are not used: the cores are made with grub-mkimage for exactly this
disk, with all they need inside, and put where the firmware looks. Menu and modules go to /boot/grub, so that
`update-grub` in the running system finds what it expects. Python 3.8, standard library only.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Callable, NamedTuple

from images.agent import biosboot, nvram
from images.agent.grubcfg import MODULES, ONLY_BIOS, ONLY_EFI, command_line, embedded, find_kernel, menu
from images.agent.rootfs import Root
from images.agent.run import run
from images.diskplan import partition_path
from images.errors import ImageError
from images.layout import DiskPlan, Extent

GRUB = Path("/usr/lib/grub")
WORK = Path("/run/loader")
ESP = Path("/run/esp")
EFI_FILE = "EFI/bootsrv/grubx64.efi"
FALLBACK = "EFI/BOOT/BOOTX64.EFI"
Say = Callable[[str], None]


class Prepared(NamedTuple):
    """What `prepare` found and decided."""

    kernel: str
    arguments: str


def prepare(target: Path, plan: DiskPlan, uuids: dict[int, str], title: str, args: str, say: Say) -> Prepared:
    """Menu and modules onto the mounted root; nothing boots from that alone."""
    root_extent, boot_extent = _extents(plan)
    root = Root(target)
    try:
        kernel = find_kernel(root)
        resume = "RESUME=UUID" in root.read_text("/etc/initramfs-tools/conf.d/resume")
        fs = root_extent.partition.fs
        words = command_line(uuids[root_extent.number], fs, args, Path("/proc/cmdline").read_text(), resume)
        separate = boot_extent is not root_extent
        text = menu(title, uuids[boot_extent.number], kernel, words, separate)
        root.write("/boot/grub/grub.cfg", text, 0o600)
        for platform in ("i386-pc", "x86_64-efi"):
            for file in sorted((GRUB / platform).iterdir()):
                root.write(f"/boot/grub/{platform}/{file.name}", file.read_bytes(), 0o644)
    finally:
        root.close()
    say(f"kernel {kernel.version}: {words}")
    return Prepared(kernel.version, words)


def activate(disk: str, plan: DiskPlan, uuids: dict[int, str], guids: list[str], say: Say) -> None:
    """Writes the loaders. After this, and not before, the disk boots."""
    root_extent, boot_extent = _extents(plan)
    _settle(disk)
    WORK.mkdir(parents=True, exist_ok=True)
    script = WORK / "embedded.cfg"
    script.write_text(embedded(uuids[boot_extent.number], boot_extent is not root_extent))
    bios, esp = plan.by_role("bios"), plan.by_role("esp")
    if esp is not None:
        _efi(disk, esp, script)
    if bios is not None and plan.sector == biosboot.SECTOR:
        _bios(disk, bios, script)
    elif bios is not None:
        say(f"no BIOS boot loader: the disk has {plan.sector}-byte sectors, which BIOSes cannot boot from")
    os.sync()
    _settle(disk)
    if esp is not None and nvram.EFIVARS.is_dir() and any(nvram.EFIVARS.iterdir()):
        _nvram(esp, plan, guids, say)


def _settle(disk: str) -> None:
    """Has the disk write out its cache: unmounting does not ask for that (least of all without barriers),
    so a power cut could keep the loader and lose what it starts.
    """
    handle = os.open(disk, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _extents(plan: DiskPlan) -> tuple[Extent, Extent]:
    """Where / and where /boot is."""
    root = plan.by_role("root")
    if root is None:
        raise ImageError("the plan has no root partition")
    return root, plan.by_role("boot") or root


def _mkimage(platform: str, script: Path, modules: tuple[str, ...]) -> Path:
    out = WORK / f"core.{platform}"
    folder = GRUB / platform
    there = [m for m in (*MODULES, *modules) if (folder / f"{m}.mod").exists()]
    command = ["grub-mkimage", "-O", platform, "-d", str(folder), "-c", str(script), "-p", "/boot/grub"]
    run([*command, "-o", str(out), *there])
    return out


def _efi(disk: str, esp: Extent, script: Path) -> None:
    core = _mkimage("x86_64-efi", script, ONLY_EFI)
    ESP.mkdir(parents=True, exist_ok=True)
    run(["mount", "-t", "vfat", partition_path(disk, esp.number), str(ESP)])
    try:
        for name in (EFI_FILE, FALLBACK):
            (ESP / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(core, ESP / name)
    finally:
        run(["umount", str(ESP)])


def _bios(disk: str, bios: Extent, script: Path) -> None:
    """The partition's content first and on the disk, then the one sector that makes it reachable."""
    core = _mkimage("i386-pc", script, ONLY_BIOS).read_bytes()
    first = bios.start // biosboot.SECTOR
    handle = os.open(disk, os.O_RDWR | os.O_CLOEXEC)
    try:
        os.pwrite(handle, biosboot.embedded_core(core, first, bios.size), bios.start)
        os.fsync(handle)
        boot_img = (GRUB / "i386-pc/boot.img").read_bytes()
        old = os.pread(handle, biosboot.SECTOR, 0)
        os.pwrite(handle, biosboot.master_record(boot_img, old, first), 0)
        os.fsync(handle)
    finally:
        os.close(handle)


def _nvram(esp: Extent, plan: DiskPlan, guids: list[str], say: Say) -> None:
    """Only a convenience, since the fallback path boots without it: a stubborn firmware fails no deploy."""
    start, sectors = esp.start // plan.sector, esp.size // plan.sector
    file = "\\" + EFI_FILE.replace("/", "\\")
    try:
        order = nvram.install(esp.number, start, sectors, guids[esp.number - 1], file)
    except OSError as error:
        say(f"the firmware did not take a boot entry ({error}); the disk boots by its fallback path")
    else:
        say(f"firmware boot order {order}: network first, then this disk")
