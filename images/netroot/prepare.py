"""Everything that diskless machines of one version load, in one directory: made once, never changed.

    vmlinuz, initrd.img      the image's own kernel, and the first RAM disk for it
    root.squashfs, .blocks   the whole tree for a root in memory, with the signed list of its blocks
    ready.json               what it was made from, and what a root cannot carry; written last

The law: a directory without a ready.json that fits is made again; files appear whole, by rename.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from images.agent.netroot import blocks
from images.disk import write_file
from images.errors import BadInput
from images.exporting.to_squashfs import export_squashfs
from images.imager.build import MANIFEST as IMAGER
from images.netroot import base, initramfs, kernel, losses, modules
from images.netroot.treefiles import TreeFiles
from images.progress import Progress, silent
from images.store import ImageStore
from images.workplace import workplace

READY, KERNEL, INITRD = "ready.json", "vmlinuz", "initrd.img"
SQUASHFS, BLOCKS = "root.squashfs", "root.blocks"
LEVEL = 6  # of a root in memory: a fifth of the time of the highest, for a few percent more
NEEDS = {
    "ram": ("overlay", "squashfs", "loop"),
    "nfs": ("overlay", "nfs"),
    "nbd": ("overlay", "nbd", "erofs"),
}
KEEP_NEEDS = {"nfs": ("ext4", "loop"), "nbd": ("ext4",)}


@dataclass(frozen=True, slots=True)
class Keys:
    """The store's public key and the key that boots are signed with."""

    store: bytes
    public: bytes
    private: bytes


def inputs(imager: Path, keys: Keys) -> str:
    """Names what the first RAM disk is made from besides the version. Raises BadInput without an imager."""
    if not (imager / IMAGER).exists():
        raise BadInput(f"{imager} holds no imager: run `./run setup`")
    state = hashlib.sha256((imager / IMAGER).read_bytes())
    own = {**initramfs.own_files(keys.store, keys.public), "init": initramfs.INIT.read_bytes()}
    for name, data in sorted({**own, "modules.toml": modules.LISTS.read_bytes()}.items()):
        state.update(name.encode() + b"\0" + hashlib.sha256(data).digest())
    return state.hexdigest()


def ready(home: Path, wanted: str) -> dict[str, Any] | None:
    """What `home` holds, when its kernel and RAM disk are those of `wanted`."""
    found = made(home)
    return found if found is not None and found.get("inputs") == wanted else None


def made(home: Path) -> dict[str, Any] | None:
    """What `home` holds, of whatever it was made: `kernel`, `has` (modules), `left_out` (losses by kind)."""
    try:
        found = json.loads((home / READY).read_bytes())
    except (FileNotFoundError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def has_root(home: Path) -> bool:
    """Whether a root in memory is there as well: its list of blocks comes last."""
    return (home / BLOCKS).exists() and (home / SQUASHFS).exists()


def make_boot(store: ImageStore, ref: str, imager: Path, keys: Keys, home: Path) -> dict[str, Any]:
    """Kernel and first RAM disk of a version into `home`. Raises BadInput, ImageError, OSError."""
    wanted = inputs(imager, keys)
    if (found := ready(home, wanted)) is not None:
        return found
    home.mkdir(parents=True, exist_ok=True)
    files = TreeFiles(store, ref, kernel.FOLDERS)
    chosen = kernel.find(files.names)
    with workplace("netroot", Path(tempfile.gettempdir())) as work:
        has = modules.stage(files, chosen, work)
        own = initramfs.own_files(keys.store, keys.public)
        own["etc/bootsrv/boot.modules"] = "\n".join(modules.load().boot).encode()
        packed = initramfs.pack(base.lean(imager / INITRD), work, own, chosen)
    write_file(home / KERNEL, files.one(chosen.image), home)
    write_file(home / INITRD, packed, home)
    row = {
        "inputs": wanted, "kernel": chosen.version, "initrd_bytes": len(packed),
        "left_out": losses.losses(store.manifest(ref).entries()),
        "has": sorted(has & {name for needs in (*NEEDS.values(), *KEEP_NEEDS.values()) for name in needs}),
    }  # fmt: skip
    write_file(home / READY, json.dumps(row).encode(), home)
    return row


def make_root(store: ImageStore, ref: str, keys: Keys, home: Path, progress: Progress = silent) -> None:
    """The root in memory and its signed list. Raises as `export_squashfs`."""
    if has_root(home):
        return
    home.mkdir(parents=True, exist_ok=True)
    target = home / SQUASHFS
    target.unlink(missing_ok=True)
    export_squashfs(store, ref, target, progress, LEVEL)
    with target.open("rb") as source:
        listed = blocks.write(source, target.stat().st_size, store.resolve(ref).id, keys.private)
    write_file(home / BLOCKS, listed, home)


def lacking(made: Mapping[str, Any], kind: str, keeps: bool) -> list[str]:
    """Which modules its kernel would need for a root of this kind, and has not."""
    needs = (*NEEDS[kind], *(KEEP_NEEDS.get(kind, ()) if keeps else ()))
    return [name for name in needs if name not in made.get("has", ())]
