"""What the imaged system must know of its storage: fstab, crypttab and mdadm.conf.

The law: everything is named by a UUID, and only root and /boot can block a boot. Pure; runs on nodes as
well: Python 3.8, standard library only.
"""

from __future__ import annotations

from collections.abc import Mapping

from images.layout import Partition
from images.storage import Storage

KEY_SCRIPT = "/usr/local/sbin/bootsrv-disk-key"


def fstab(storage: Storage, uuids: Mapping[str, str]) -> str:
    """The lines for what is there; `uuids` of file systems by device."""
    lines = []
    esp = 0
    for place in sorted(storage.places, key=lambda e: (e.partition.mount or "~", e.device)):
        p, uuid = place.partition, uuids.get(place.device)
        if uuid is None or (p.role == "esp" and esp):  # the second disk's ESP only waits for its turn
            continue
        esp += p.role == "esp"
        if p.role == "swap":
            lines.append(f"UUID={uuid}\tnone\tswap\tsw,nofail\t0\t0")
        elif p.mount is not None:
            passno = 0 if p.fs in ("xfs", "btrfs", "vfat") else 1 if p.role == "root" else 2
            lines.append(f"UUID={uuid}\t{p.mount}\t{p.fs}\t{_options(p)}\t0\t{passno}")
    return "\n".join(lines) + "\n"


def _options(p: Partition) -> str:
    if p.role == "esp":
        return "umask=0077,nofail"
    if p.role == "data":
        return "defaults,nofail"
    return "defaults,errors=remount-ro" if p.fs == "ext4" and p.role == "root" else "defaults"


def crypttab(storage: Storage, uuids: Mapping[str, str]) -> str:
    """One line per encrypted device, all opened before root is looked for."""
    lines = []
    for crypt in storage.crypts:
        script = f",keyscript={KEY_SCRIPT}" if crypt.unlock == "server" else ""
        lines.append(f"{crypt.name}\tUUID={uuids[crypt.below]}\tnone\tluks,discard,initramfs{script}")
    return "\n".join(lines) + "\n"


def mdadm_conf(storage: Storage, uuids: Mapping[str, str]) -> str:
    """The arrays by UUID, whatever host name is in their superblocks."""
    lines = ["HOMEHOST <ignore>", "MAILADDR root"]
    lines += [
        f"ARRAY /dev/md/{array.name} metadata=1.2 UUID={md_uuid(uuids[array.key])}"
        for array in storage.arrays
    ]
    return "\n".join(lines) + "\n"


def root_argument(storage: Storage, uuids: Mapping[str, str]) -> str:
    """What `root=` says: initramfs-tools activates the group only of a volume that is named by its device."""
    device = storage.root.device
    for group in storage.groups:
        if device.startswith(f"/dev/{group.name}/"):
            return f"/dev/mapper/{group.name}-{device.rpartition('/')[2]}"
    return f"UUID={uuids[device]}"


def md_uuid(uuid: str) -> str:
    """As mdadm writes it: four groups of eight hex digits."""
    digits = uuid.replace("-", "").replace(":", "").lower()
    return ":".join(digits[at : at + 8] for at in range(0, 32, 8))
