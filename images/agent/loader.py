"""Makes the disk bootable, by BIOS and by UEFI. The last thing that is done to it.

GRUB's own tools that guess (grub-install) are not used: the cores are made with grub-mkimage for exactly this
disk, with all they need inside, and put where the firmware looks. Menu and modules go to /boot/grub, so that
`update-grub` in the running system finds what it expects. Python 3.8, standard library only.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Callable, NamedTuple

from images.agent import biosboot, nvram
from images.agent.grubcfg import FOR, MODULES, ONLY_BIOS, ONLY_EFI, command_line, embedded, find_kernel, menu
from images.agent.rootfs import Root
from images.agent.run import run
from images.layout import DiskPlan, Extent
from images.mounts_table import root_argument
from images.storage import Storage

GRUB = Path("/usr/lib/grub")
WORK = Path("/run/loader")
ESP = Path("/run/esp")
EFI_FILE = "EFI/bootsrv/grubx64.efi"
EFI_FILES = (EFI_FILE, "EFI/BOOT/BOOTX64.EFI")  # ours, and the fallback path
Say = Callable[[str], None]


class Prepared(NamedTuple):
    """What `prepare` found and decided."""

    kernel: str
    arguments: str


def prepare(
    target: Path, storage: Storage, uuids: Mapping[str, str], title: str, args: str, say: Say,
    cmdline: str | None = None,
) -> Prepared:  # fmt: skip
    """Menu and modules onto the mounted root; nothing boots from that alone. `cmdline`: whose consoles are
    named where `args` names none; this kernel's.
    """
    root = Root(target)
    try:
        kernel = find_kernel(root)
        resume = "RESUME=UUID" in root.read_text("/etc/initramfs-tools/conf.d/resume")
        fs = storage.root.partition.fs
        where = root_argument(storage, uuids)
        own = Path("/proc/cmdline").read_text() if cmdline is None else cmdline
        words = command_line(where, fs, args, own, resume)
        separate = storage.boot is not storage.root
        text = menu(title, uuids[storage.boot.device], kernel, words, separate)
        root.write("/boot/grub/grub.cfg", text, 0o600)
        for platform in ("i386-pc", "x86_64-efi"):
            files = (f for f in (GRUB / platform).iterdir() if f.suffix in (".mod", ".img", ".lst"))
            for file in sorted(files):
                root.write(f"/boot/grub/{platform}/{file.name}", file.read_bytes(), 0o644)
    finally:
        root.close()
    say(f"kernel {kernel.version}: {words}")
    return Prepared(kernel.version, words)


def activate(
    storage: Storage, uuids: Mapping[str, str], guids: Mapping[tuple[str, int], str], say: Say
) -> None:
    """Writes the loaders to every disk that has a place for one, and tells this machine's firmware. After
    this, and not before, it boots.
    """
    write(storage, uuids, say, WORK, _mounted)
    if nvram.EFIVARS.is_dir() and any(nvram.EFIVARS.iterdir()):
        places = [(d, d.plan.by_role("esp")) for d in storage.disks]
        for number, (disk, esp) in reversed(list(enumerate(places, 1))):
            if esp is not None:
                _nvram(esp, disk.plan, guids[disk.path, esp.number], number, say)


def write(
    storage: Storage, uuids: Mapping[str, str], say: Say, work: Path, put: Callable[[str, Path], None]
) -> None:
    """The loaders alone. `work` is made for the pieces; `put` copies one to an ESP, given as a device, by
    each of EFI_FILES' names.
    """
    for disk in storage.disks:
        _settle(disk.path)
    work.mkdir(parents=True, exist_ok=True)
    script = work / "embedded.cfg"
    script.write_text(embedded(uuids[storage.boot.device], storage.boot is not storage.root))
    extra = tuple(module for feature in storage.features for module in FOR[feature])
    for disk in storage.disks:
        bios, sector = disk.plan.by_role("bios"), disk.plan.sector
        for place in storage.places:
            if place.partition.role == "esp" and place.disk == disk.path:
                put(place.device, _mkimage("x86_64-efi", script, (*ONLY_EFI, *extra)))
        if bios is not None and sector == biosboot.SECTOR:
            _bios(disk.path, bios, _mkimage("i386-pc", script, (*ONLY_BIOS, *extra)))
        elif bios is not None:
            say(f"no BIOS boot loader: the disk has {sector}-byte sectors, which BIOSes cannot boot from")
    os.sync()
    for disk in storage.disks:
        _settle(disk.path)


def _settle(disk: str) -> None:
    """Has the disk write out its cache: unmounting does not ask for that (least of all without barriers),
    so a power cut could keep the loader and lose what it starts.
    """
    handle = os.open(disk, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _mkimage(platform: str, script: Path, modules: tuple[str, ...]) -> Path:
    out = script.with_name(f"core.{platform}")
    folder = GRUB / platform
    there = [m for m in (*MODULES, *modules) if (folder / f"{m}.mod").exists()]
    command = ["grub-mkimage", "-O", platform, "-d", str(folder), "-c", str(script), "-p", "/boot/grub"]
    run([*command, "-o", str(out), *there])
    return out


def _mounted(device: str, core: Path) -> None:
    ESP.mkdir(parents=True, exist_ok=True)
    run(["mount", "-t", "vfat", device, str(ESP)])
    try:
        for name in EFI_FILES:
            (ESP / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(core, ESP / name)
    finally:
        run(["umount", str(ESP)])


def _bios(disk: str, bios: Extent, made: Path) -> None:
    """The partition's content first and on the disk, then the one sector that makes it reachable."""
    core = made.read_bytes()
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


def _nvram(esp: Extent, plan: DiskPlan, guid: str, disk: int, say: Say) -> None:
    """Only a convenience, since the fallback path boots without it: a stubborn firmware fails no deploy."""
    start, sectors = esp.start // plan.sector, esp.size // plan.sector
    file = "\\" + EFI_FILE.replace("/", "\\")
    label = nvram.LABEL if disk == 1 else f"{nvram.LABEL} {disk}"
    try:
        order = nvram.install(esp.number, start, sectors, guid, file, label=label)
    except OSError as error:
        say(f"the firmware did not take a boot entry ({error}); the disk boots by its fallback path")
    else:
        say(f"firmware boot order {order}: network first, then this disk")
