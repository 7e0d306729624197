"""Fills an archive of our own: the packages that are asked for with all that they need, and an installer's
own.

Fetched by apt's own client, which compares every file with Debian's signed indexes; the entries of those
indexes are taken over as they are, and the whole is signed with our key. What the last filling had is not
fetched again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from bootsrv.apt import AptRoom
from bootsrv.errors import Invalid
from bootsrv.mirrors.closure import available, closure
from bootsrv.mirrors.local import RECORD, LocalMirror, LocalMirrors
from bootsrv.mirrors.pool import Pool, sha256_of
from bootsrv.mirrors.repository import write_indexes
from bootsrv.mirrors.stanzas import Stanza
from bootsrv.signing import ArchiveKey
from bootsrv.trees.index import Index, Item
from bootsrv.trees.listed import FILES, INDEX
from bootsrv.trees.place import appearing
from images.mirror import Mirrors, host_mirrors, signed_suites, sources
from images.progress import Progress, silent

# What Debian's installer asks for by itself on PCs, BIOS and UEFI.
INSTALLED = (
    "linux-image-amd64", "grub-pc", "grub-efi-amd64", "grub-efi-amd64-signed", "shim-signed", "efibootmgr",
    "busybox", "initramfs-tools", "zstd", "keyboard-configuration", "console-setup", "locales", "tasksel",
    "task-ssh-server", "openssh-server", "laptop-detect", "discover", "installation-report",
    "popularity-contest", "ca-certificates", "sudo", "eject", "usbutils", "pciutils", "os-prober",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to fill an archive with. `kernel`: of the installer of `tree`; "": no installer is to be
    served."""

    suite: str
    packages: tuple[str, ...]
    tree: str = ""
    kernel: str = ""
    arch: str = "amd64"


def fill(
    shelf: LocalMirrors,
    name: str,
    wanted: Wanted,
    key: ArchiveKey,
    progress: Progress = silent,
    clock: Callable[[], float] = time.time,
) -> LocalMirror:
    """Make or renew the archive `name`. Minutes, at the speed of the host's mirror. Raises Invalid,
    BootsrvError, OSError."""
    if not signed_suites([wanted.suite]):
        raise Invalid(f"this host has no key for {wanted.suite!r}, so nothing could be compared")
    mirrors = host_mirrors()
    with appearing(shelf.root, name) as new:
        pool = Pool(new / FILES, shelf.root / name / FILES, progress)
        progress(0, None, "reading the distribution's index")
        with AptRoom(sources(wanted.suite, mirrors), wanted.arch) as apt:
            apt.update()
            about = _about(apt, wanted)
            parts: dict[str, Sequence[Stanza]] = {f"main/binary-{wanted.arch}": closure(apt, wanted.packages)}
            pool.fetch(apt, parts[f"main/binary-{wanted.arch}"])
        missing: list[str] = []
        if wanted.kernel:
            udebs, missing = _installers_own(pool, wanted, mirrors)
            parts[f"main/debian-installer/binary-{wanted.arch}"] = udebs
        progress(0, None, "signing")
        write_indexes(new / FILES, wanted.suite, parts, about, key)
        _alias(new / FILES / "dists", wanted.suite, about["Suite"])
        index = _list(new / FILES, parts)
        index.save(new / INDEX)
        made = LocalMirror(
            name, wanted.suite, wanted.arch, wanted.packages, clock(), len(index.files), index.bytes,
            wanted.tree, tuple(missing),
        )  # fmt: skip
        (new / RECORD).write_bytes(msgspec.json.format(msgspec.json.encode(made)) + b"\n")
    return made


def _installers_own(pool: Pool, wanted: Wanted, mirrors: Mirrors) -> tuple[list[Stanza], list[str]]:
    """The installer's packages (udebs) for its kernel, and the names of those that the mirror does not
    have."""
    with AptRoom([f"deb {mirrors.main} {wanted.suite} main/debian-installer"], wanted.arch) as apt:
        apt.update()
        found = [one for one in available(apt) if one.kernel in ("", wanted.kernel)]
        if not any(one.kernel == wanted.kernel for one in found):
            raise Invalid(
                f"the distribution has no modules for kernel {wanted.kernel} of tree {wanted.tree} any more; "
                f"import the tree again with --replace"
            )
        missing = pool.fetch(apt, found, tolerant=True)
    return [one for one in found if one.name not in missing], missing


def _about(apt: AptRoom, wanted: Wanted) -> dict[str, str]:
    """The fields of Release: those of the distribution, since its installer looks at them."""
    said = apt.run(["apt-get", "indextargets", "--format", "$(ORIGIN)|$(LABEL)|$(SUITE)|$(CODENAME)"])
    rows = [line.split("|") for line in said.splitlines() if line.count("|") == 3]
    origin, label, suite, codename = next(
        (row for row in rows if row[3] == wanted.suite), ["Debian", "Debian", wanted.suite, wanted.suite]
    )
    return {
        "Origin": origin, "Label": label, "Suite": suite, "Codename": codename, "Architectures": wanted.arch,
        "Components": "main", "Description": "part of the distribution, for installations",
    }  # fmt: skip


def _alias(dists: Path, codename: str, suite: str) -> None:
    """`stable` is what some installers ask for."""
    if suite and suite != codename and "/" not in suite:
        (dists / suite).symlink_to(codename)


def _list(root: Path, parts: Mapping[str, Sequence[Stanza]]) -> Index:
    """Every file; packages have the hash that was compared when they came."""
    index = Index()
    for stanzas in parts.values():
        index.files.update({one.filename: Item(one.size, one.sha256) for one in stanzas})
    for path in sorted(root.rglob("*")):
        name = str(path.relative_to(root))
        if path.is_symlink():
            index.links[name] = f"{name.rpartition('/')[0]}/{path.readlink()}".lstrip("/")
        elif path.is_file() and name not in index.files and not name.startswith("pool/"):
            index.files[name] = Item(path.stat().st_size, sha256_of(path))
    return index
