"""A tree as the disk of a virtual machine: partitions, file systems, boot loaders and files in a sparse file.

The same steps as on a real machine (agent/deploy.py), with the agent's own code; only the devices are parts
of a file. Law: nothing of this machine is touched: its boot menu, firmware variables and mount table stay as
they are, and whatever ends the work, no mount and no loop device is left. Needs root.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from images.agent import disk as disks
from images.agent import loader, personalise
from images.agent.identity import Identity
from images.agent.rootfs import Root
from images.agent.run import run
from images.blocks.loop import Loop
from images.bootable import has_kernel
from images.diskplan import TINY_DISK, sfdisk_script, smallest_disk
from images.errors import BadInput
from images.exporting.apart import MOUNTS, apart
from images.exporting.folder import private
from images.layout import GIB, Layout
from images.layout_parse import default_layout
from images.mounts_table import fstab
from images.progress import Progress
from images.sealed import SealedManifest
from images.storage import Storage, resolve
from images.store import ImageStore
from images.tree_writer import write_tree

SLACK = 4096  # bytes a file may waste at its end, and its inode
SECTOR = 512
CONSOLES = "console=tty0 console=ttyS0,115200n8"  # whichever the virtual machine has
TOOLS = {"ext4": "mkfs.ext4", "xfs": "mkfs.xfs", "btrfs": "mkfs.btrfs", "vfat": "mkfs.vfat", "swap": "mkswap"}
PACKAGES = {
    "mkfs.xfs": "xfsprogs", "mkfs.btrfs": "btrfs-progs", "mkfs.vfat": "dosfstools", "sfdisk": "fdisk",
    "grub-mkimage": "grub-common", "mcopy": "mtools",
}  # fmt: skip


@dataclass(frozen=True)
class Machine:
    """What the tree becomes. `size` in bytes; 0: what the layout needs and a quarter, in GiB, at least 4."""

    node: Identity
    layout: Layout
    size: int = 0


def plain_machine(name: str) -> Machine:
    """Named like the image, address by DHCP on whatever card it has, the default layout."""
    host = "".join(c if c.isascii() and c.isalnum() else "-" for c in name).strip("-")[:63] or "machine"
    return Machine(Identity(host, "", "dynamic", ""), default_layout())


def write_machine(
    store: ImageStore, manifest: SealedManifest, ref: str, file: Path, machine: Machine, progress: Progress
) -> None:
    """Makes `file`, which must not exist, a disk that boots the tree by BIOS and by UEFI.

    Raises BadInput (no kernel, no room, a layout that only a real machine can have, a tool is missing),
    ImageError, OSError.
    """
    if os.geteuid() != 0:
        raise BadInput("making a disk of files needs root; run it as root (sudo)")
    if not has_kernel(manifest.entries()):
        raise BadInput(f"{ref} has no kernel in /boot, so it cannot boot from a disk")
    layout = _one_disk(machine.layout)
    need = manifest.header.bytes + manifest.header.files * SLACK
    size = machine.size or max(TINY_DISK, -(-smallest_disk(layout, need) * 5 // 4 // GIB) * GIB)
    row = {"path": str(file), "size": size, "sector": SECTOR, "read_only": False, "removable": False}
    storage = resolve(layout, [{**row, "transport": None, "serial": None, "model": None}], None, need)
    if storage.features:
        raise BadInput(f"a layout with {', '.join(storage.features)} can only be made on a real machine")
    _check_tools(storage)
    with private(file) as made:
        made.truncate(size)
    apart(lambda told: _Work(store, manifest, ref, file, machine.node, told).run(storage), progress)


def _one_disk(layout: Layout) -> Layout:
    """The layout without its words for finding the disk."""
    if len(layout.disks) > 1:
        raise BadInput(f"the layout has {len(layout.disks)} disks; only one disk can be exported")
    return Layout(tuple(replace(p, disks=()) for p in layout.partitions), (), layout.volumes)


def _check_tools(storage: Storage) -> None:
    wanted = {TOOLS[p.partition.fs] for p in storage.places if p.partition.fs in TOOLS}
    for tool in sorted({*wanted, "sfdisk", "grub-mkimage", "mcopy"}):
        if shutil.which(tool) is None:
            raise BadInput(f"{tool} is missing on this machine; install {PACKAGES.get(tool, tool)}")
    for platform, package in (("i386-pc", "grub-pc-bin"), ("x86_64-efi", "grub-efi-amd64-bin")):
        if not (loader.GRUB / platform / "normal.mod").exists():
            raise BadInput(f"GRUB's modules are missing on this machine; install {package}")


class _Work:
    """One disk; runs where its mounts are nobody else's."""

    def __init__(
        self, store: ImageStore, manifest: SealedManifest, ref: str, file: Path, node: Identity,
        progress: Progress,
    ) -> None:  # fmt: skip
        self._store, self._manifest, self._ref = store, manifest, ref
        self._file, self._node, self._progress = file, node, progress
        self._notes: list[str] = []

    def run(self, planned: Storage) -> None:
        # Found again after a kill; as the mount table will name it.
        home = self._file.parent.resolve() / f"{self._file.name}.mnt"
        target, work = home / "root", home / "loader"
        target.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            with ExitStack() as stack:
                storage, uuids = self._devices(planned, stack)
                stack.callback(disks.unmount_all, home, MOUNTS)
                self._fill(storage, uuids, target)
                disks.unmount_all(home, MOUNTS)
                for place in storage.places:
                    disks.check_filesystem(place.device, place.partition.fs)
                loader.write(storage, uuids, self._notes.append, work, _put)
            fd = os.open(self._file, os.O_RDONLY)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)
        finally:
            shutil.rmtree(work, ignore_errors=True)
            target.rmdir()  # not a tree: what is mounted is not cleared
            home.rmdir()

    def _devices(self, planned: Storage, stack: ExitStack) -> tuple[Storage, dict[str, str]]:
        """The table, a device for each partition with a file system, and the file systems."""
        plan = planned.disks[0].plan
        guids = [disks.new_uuid("gpt") for _ in plan.extents]
        script = sfdisk_script(plan, disks.new_uuid("gpt"), guids)
        run(["sfdisk", "--quiet", "--wipe=always", str(self._file)], script)
        fd = os.open(self._file, os.O_RDWR | os.O_CLOEXEC)
        stack.callback(os.close, fd)
        extents = {extent.number: extent for extent in plan.extents}
        places, uuids = [], {}
        for place in planned.places:
            p, extent = place.partition, extents[place.number]
            if p.fs == "none":
                continue
            device = stack.enter_context(Loop(fd, extent.start, extent.size)).path
            uuids[device] = disks.new_uuid(p.fs)
            disks.make_filesystem(device, p, extent.size, uuids[device], self._manifest.header.files)
            places.append(replace(place, device=device))
        return replace(planned, places=tuple(places)), uuids

    def _fill(self, storage: Storage, uuids: Mapping[str, str], target: Path) -> None:
        """Files, and what makes them a machine."""
        disks.mount_all(storage, target)
        write_tree(self._manifest, self._store.source(self._manifest.id), target, self._progress)
        node, say = self._node, self._notes.append
        personalise.personalise(target, node, fstab(storage, uuids), node.kernel_args, say)
        root = Root(target)
        try:
            for place in storage.places:
                if place.partition.keep and place.partition.mount:
                    root.make_dirs(place.partition.mount)
        finally:
            root.close()
        title = f"{node.name} ({self._ref})"
        loader.prepare(target, storage, uuids, title, node.kernel_args, say, CONSOLES)


def _put(device: str, core: Path) -> None:
    """A boot loader into an ESP, without mounting it: not every server's kernel knows VFAT."""
    for name in loader.EFI_FILES:
        for folder in (name.partition("/")[0], name.rpartition("/")[0]):
            run(["mmd", "-D", "s", "-i", device, f"::{folder}"], good=(0, 1))  # 1: it is there
        run(["mcopy", "-i", device, str(core), f"::{name}"])
