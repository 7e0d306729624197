"""Lets the imaged system find a root on arrays, encrypted devices and volume groups.

Before the disk is touched: whether the image has what that takes (`check`, from its manifest's names). At the
end: mdadm.conf, crypttab, the key's script, and the initramfs made again by the image's own tool in a
chroot or added to by us. That is the only place for it: GRUB hands over nothing but `root=`. Debian's
initramfs-tools; dracut too, where its image has what dracut needs. Python 3.8, standard library only.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from images.agent import initrd
from images.agent.grubcfg import find_kernel
from images.agent.rootfs import Root
from images.agent.run import run
from images.agent.update.initrds import KEPT
from images.errors import BadInput, ImageError
from images.mounts_table import KEY_SCRIPT, crypttab, mdadm_conf
from images.storage import Storage

HOOKS = b"usr/share/initramfs-tools/hooks/"
DRACUT = b"usr/bin/dracut"
# What an image needs: (name of the package, a file of it for initramfs-tools, a file of it for dracut).
NEEDS = {
    "lvm": (("lvm2", HOOKS + b"lvm2", b"usr/sbin/lvm"),),
    "raid": (("mdadm", HOOKS + b"mdadm", b"usr/sbin/mdadm"),),
    "luks": (("cryptsetup-initramfs", HOOKS + b"cryptroot", b"usr/sbin/cryptsetup"),),
    "server": (("busybox", b"bin/busybox", b"usr/bin/curl"),),
}
PROGRAM = {"lvm": "lvm", "raid": "mdadm", "luks": "cryptsetup", "server": "busybox"}
LIMIT = 1200.0  # seconds; an initramfs takes minutes on a slow machine
BINDS = ("proc", "sys", "dev")


def needs(storage: Storage) -> tuple[str, ...]:
    """Keys of NEEDS that this storage takes."""
    server = any(c.unlock == "server" for c in storage.crypts)
    return (*storage.features, *(("server",) if server else ()))


def check(storage: Storage, names: Iterable[bytes], image: str) -> None:
    """`names`: paths in the image. BadInput lists the packages that it lacks."""
    wanted = needs(storage)
    if not wanted:
        return
    rows = [row for key in wanted for row in NEEDS[key]]
    paths = {path for _, debian, dracut in rows for path in (debian, dracut)}
    have = {name for name in names if name in paths or name in (DRACUT, b"usr/bin/busybox")}
    if b"usr/bin/busybox" in have:
        have.add(b"bin/busybox")
    column = 2 if DRACUT in have else 1
    lacking = [str(row[0]) for row in rows if row[column] not in have]
    if lacking:
        raise BadInput(
            f"image {image} could not start from this layout ({', '.join(storage.features)}): "
            f"it lacks {', '.join(lacking)}; add these packages to the image"
        )


def install(
    target: Path, storage: Storage, uuids: Mapping[str, str], key: Mapping[str, Any] | None
) -> str:
    """Writes the files, and brings them into the initramfs; text for people.

    Where the image's initramfs has the programs already, its own tool is spared: the files are appended.
    """
    if not storage.features:
        return ""
    root = Root(target)
    try:
        extra = _write_files(root, storage, uuids, key)
        kernel = find_kernel(root)
        old = root.read(kernel.initrd) if kernel.initrd else None
        if old is not None and _has_programs(old, storage):
            archive = initrd.addition(extra)
            # Whoever puts another initramfs in place of this one finds here what to append to it.
            root.write(KEPT, archive, 0o600)
            root.write(str(kernel.initrd), initrd.joined(old, archive), 0o600)
            return f"initramfs told of {', '.join(storage.features)}"
        dracut = root.exists("/usr/bin/dracut")
    finally:
        root.close()
    with _inside(target):
        if dracut:
            command = ["dracut", "--force", "--no-hostonly", "--mdadmconf", "--lvmconf"]
            command += ["--kver", kernel.version]
        else:
            command = ["update-initramfs", "-u", "-k", kernel.version]
        run(["chroot", str(target), *command], limit=LIMIT)
    return f"initramfs made again for {', '.join(storage.features)}"


def _write_files(
    root: Root, storage: Storage, uuids: Mapping[str, str], key: Mapping[str, Any] | None
) -> dict[str, tuple[bytes, int]]:
    """Into the system; and the same as the initramfs wants them."""
    extra: dict[str, tuple[bytes, int]] = {}
    if storage.arrays:
        name = "/etc/mdadm/mdadm.conf" if root.is_dir("/etc/mdadm") else "/etc/mdadm.conf"
        root.write(name, mdadm_conf(storage, uuids), 0o644)
        extra[name[1:]] = (mdadm_conf(storage, uuids).encode(), 0o644)
    if storage.crypts:
        root.write("/etc/crypttab", crypttab(storage, uuids), 0o600)
        extra["cryptroot/crypttab"] = (crypttab(storage, uuids).encode(), 0o600)
        if any(c.unlock == "server" for c in storage.crypts):
            root.write(KEY_SCRIPT, key_script(key or {}), 0o700)
            extra[KEY_SCRIPT[1:]] = (key_script(key or {}).encode(), 0o700)
        # The initramfs holds the credential for the key: for root's eyes only.
        if root.is_dir("/etc/initramfs-tools"):
            root.write("/etc/initramfs-tools/conf.d/bootsrv", "UMASK=0077\n", 0o644)
    return extra


def _has_programs(data: bytes, storage: Storage) -> bool:
    try:
        there = {name.rpartition("/")[2] for name in initrd.names(data) if "bin/" in name}
    except ImageError:  # packed in some other way: its own tool knows
        return False
    return all(PROGRAM[need] in there for need in needs(storage))


@contextlib.contextmanager
def _inside(target: Path) -> Iterator[None]:
    """The kernel's file systems in the target, as long as this runs."""
    mounted: list[Path] = []
    try:
        for name in BINDS:
            (target / name).mkdir(exist_ok=True)
            run(["mount", "--rbind", f"/{name}", str(target / name)])
            mounted.append(target / name)
        yield
    finally:
        for where in reversed(mounted):
            run(["umount", "--recursive", "--lazy", str(where)])


def key_script(key: Mapping[str, Any]) -> str:
    """What the initramfs runs to open a disk: asks the server; a person, where that does not help."""
    url, token = str(key.get("url") or ""), str(key.get("token") or "")
    if not re.match(r"http://[\w.:/-]+\Z", url) or not re.match(r"[\w-]+\Z", token):
        raise ImageError("the server gave no address or credential to fetch the disk's key with")
    return SCRIPT.replace("@URL@", url).replace("@TOKEN@", token)


SCRIPT = """#!/bin/sh
# Written by bootsrv: gives the passphrase of this machine's disk to cryptsetup. Asks the server it was imaged
# from, over each network card; where that fails, asks a person at the console.
limit=''  # not wget's own -T: with it, Debian 12's busybox crashes
if command -v timeout >/dev/null; then limit='timeout 20'; fi
[ "${CRYPTTAB_TRIED:-0}" -gt 1 ] || for path in /sys/class/net/*; do
    card=${path##*/}
    [ "$card" != lo ] && [ -e "$path/device" ] || continue
    ipconfig -t 25 -c dhcp -d "$card" >/dev/null 2>&1 || continue
    key=$($limit wget -q -O - --header 'Authorization: Bearer @TOKEN@' '@URL@' 2>/dev/null)
    ip addr flush dev "$card" 2>/dev/null
    ip link set "$card" down 2>/dev/null
    if [ -n "$key" ]; then
        printf %s "$key"
        exit 0
    fi
done
exec /lib/cryptsetup/askpass "The server did not give the key. Passphrase of disk $CRYPTTAB_NAME: "
"""
