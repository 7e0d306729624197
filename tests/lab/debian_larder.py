"""A part of Debian's archive that is enough to install a machine from: fetched by apt's own client, checked
by Debian's keys, kept for the next run.

The regular packages are what a private apt finds for an empty system. Of the installer's own packages (udebs)
mirrors do not keep all, nor always those of the newest point release: what is missing is made here from the
regular package that has the same programs, kernel modules from the kernel's. So the index of this archive is
our own, signed by a key that was made for it; `archive-key.gpg` is its public half.
"""

from __future__ import annotations

import gzip
import hashlib
import lzma
import shutil
import subprocess
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from bootsrv.signing import ArchiveKey

MIRROR = "http://deb.debian.org/debian"
SUITE = "trixie"
HELPER = ["/usr/lib/apt/apt-helper", "-oAPT::Sandbox::User=root", "download-file"]
INSTALLER = "debian-installer-13-netboot-amd64"
WANTED = [
    "?or(?priority(required),?priority(important))", "linux-image-amd64", "grub-pc", "openssh-server",
    "ca-certificates", "busybox", "zstd", "initramfs-tools", "console-setup", "keyboard-configuration",
    "locales", "sudo", "tasksel", "dosfstools", INSTALLER,
]  # fmt: skip
ALSO = ["grub-efi-amd64", "grub-efi-amd64-signed", "shim-signed", "efibootmgr"]  # not together with grub-pc
# udeb -> the regular packages that have its programs
MADE = {
    "e2fsprogs-udeb": ("e2fsprogs", "libext2fs2t64", "libcom-err2", "libss2"),
    "ntfs-3g-udeb": (),  # nobody installs on NTFS, but partman-partitioning wants its name
}
# What an installation on one plain disk needs; the installer loads all that the index offers.
LOADED = (
    "apt-mirror-setup", "apt-setup-udeb", "base-installer", "bootstrap-base", "clock-setup",
    "debootstrap-udeb", "disk-detect", "dosfstools-udeb", "finish-install", "grub-installer", "partman-auto",
    "partman-base", "partman-basicmethods", "partman-efi", "partman-ext3", "partman-partitioning",
    "partman-target", "pkgsel", "tzsetup-udeb", "user-setup-udeb",
)  # fmt: skip
# As much as comes to the partitions, with a disk whose driver the installer's RAM disk has.
BRIEF = ("user-setup-udeb", "disk-detect", "partman-base")
ENOUGH = [INSTALLER, "e2fsprogs"]
NOT_NEEDED = ("xfs", "jfs", "iscsi", "btrfs", "cros", "cdrom", "crypto", "brltty", "espeakup")
MODULES = (
    "fs/ext4", "fs/jbd2", "fs/mbcache.ko", "fs/fat", "fs/nls", "fs/efivarfs", "fs/isofs", "lib", "crypto",
    "arch/x86/crypto", "drivers/block", "drivers/virtio", "drivers/scsi", "drivers/ata", "drivers/cdrom",
    "drivers/md", "drivers/char/hw_random", "drivers/nvme",
)  # fmt: skip
PROVIDES = ("ext2", "ext3", "ext4", "scsi", "sata", "md", "virtio", "fat", "loop", "crypto", "crypto-dm")
# Every kind of storage that partman can set up by itself, and nothing that comes after the partitions.
STORAGE = (
    *BRIEF, "bootstrap-base", "cdebconf-text-entropy", "dosfstools-udeb", "libcrypto3-udeb", "partman-auto",
    "partman-auto-crypto", "partman-auto-lvm", "partman-auto-raid", "partman-basicmethods", "partman-crypto",
    "partman-crypto-dm", "partman-efi", "partman-ext3", "partman-partitioning", "partman-target",
)  # fmt: skip
FILE = frozenset(("Filename", "Size", "SHA256", "MD5sum"))  # what an index says of a package's file
Stanza = dict[str, str]


@dataclass(frozen=True)
class Stock:
    """What an archive has: regular packages (of each list what it needs), udebs, kernel modules."""

    regular: tuple[list[str], ...]
    udebs: tuple[str, ...]
    modules: tuple[str, ...]


WHOLE = Stock((WANTED, ALSO), LOADED, MODULES)
NOTHING = Stock((ENOUGH,), BRIEF, ())  # that is installed
DISKS = Stock(([*ENOUGH, "linux-image-amd64"],), STORAGE, MODULES)


def larder(kept: Path, stock: Stock) -> Path:
    """The archive's directory, made if it is not there yet. `kept`/installer has the netboot files."""
    archive = kept / "archive"
    if (archive / "dists").exists():
        return archive
    shutil.rmtree(kept, ignore_errors=True)
    work = kept / "work"
    packages = _regular(work, stock.regular)
    netboot = _unpacked(packages[INSTALLER][1], work / "netboot")
    medium = netboot / "usr/lib/debian-installer/images/13/amd64/text"
    shutil.copytree(medium, kept / "installer", symlinks=True)
    images = medium / "debian-installer/amd64"
    debs = {name: path for name, (_, path) in packages.items()}
    udebs = _installer(work, archive, images, debs, stock.udebs, stock.modules)
    del packages[INSTALLER]
    for stanza, path in packages.values():
        place = archive / stanza["Filename"]
        place.parent.mkdir(parents=True, exist_ok=True)
        path.rename(place)
    _index(archive, [stanza for stanza, _ in packages.values()], udebs)
    shutil.rmtree(work)
    return archive


def _regular(work: Path, wanted: Iterable[list[str]]) -> dict[str, tuple[Stanza, Path]]:
    """By name, what an empty system needs: its index entry and its file."""
    for name in ("etc/apt/apt.conf.d", "etc/apt/preferences.d", "var/lib/apt/lists/partial",
                 "var/cache/apt/archives/partial", "var/lib/dpkg", "var/log/apt"):  # fmt: skip
        (work / name).mkdir(parents=True, exist_ok=True)
    (work / "var/lib/dpkg/status").touch()
    keys = "/usr/share/keyrings/debian-archive-keyring.gpg"
    (work / "etc/apt/sources.list").write_text(f"deb [signed-by={keys}] {MIRROR} {SUITE} main\n")
    conf = work / "apt.conf"
    conf.write_text(
        f'Dir "{work}"; Dir::State::status "{work}/var/lib/dpkg/status"; APT::Architecture "amd64";\n'
        'APT::Architectures "amd64"; APT::Sandbox::User "root"; Acquire::Languages "none";\n'
        'APT::Install-Recommends "false"; Acquire::Retries "3";\n'
    )
    for arguments in (
        ["update"],
        *(["--assume-yes", "--download-only", "install", *names] for names in wanted),
    ):
        subprocess.run(["apt-get", *arguments], env={"APT_CONFIG": str(conf), "PATH": "/usr/bin:/bin:/sbin"},
                       check=True, capture_output=True, timeout=600)  # fmt: skip
    lists = next((work / "var/lib/apt/lists").glob("*_Packages"))
    entries = {(stanza["Package"], stanza["Version"]): stanza for stanza in _stanzas(lists.read_text())}
    found = {}
    for path in (work / "var/cache/apt/archives").glob("*.deb"):
        name, version, _ = path.name.replace("%3a", ":").split("_")
        found[name] = (entries[name, version], path)
    return found


def _installer(
    work: Path,
    archive: Path,
    images: Path,
    debs: dict[str, Path],
    wanted: Collection[str],
    modules: Collection[str],
) -> list[Stanza]:
    """The udebs that the installer loads, beyond those in its RAM disk."""
    disk = work / "initrd"
    disk.mkdir()
    unpack = f"zcat {images}/initrd.gz | cpio --extract --make-directories --quiet --no-absolute-filenames"
    subprocess.run(["sh", "-c", unpack], cwd=disk, check=False, capture_output=True)
    inside = {stanza["Package"] for stanza in _stanzas((disk / "var/lib/dpkg/status").read_text())}
    release = next((disk / "lib/modules").iterdir()).name
    index = work / "udebs.xz"
    _fetch(f"dists/{SUITE}/main/debian-installer/binary-amd64/Packages.xz", index)
    known = {
        stanza["Package"]: stanza
        for stanza in _stanzas(lzma.decompress(index.read_bytes()).decode())
        if "Kernel-Version" not in stanza
        and (stanza["Package"] in wanted or not any(word in stanza["Package"] for word in NOT_NEEDED))
    }
    found = [_modules(work, archive, release, debs, modules)]
    for name in sorted(_loaded(known, wanted) - inside):
        stanza = known[name]
        if name in MADE:
            found.append(_made(work, archive, stanza, [debs[deb] for deb in MADE[name]]))
        elif _fetch(stanza["Filename"], archive / stanza["Filename"]):
            found.append(stanza)
    return found


def _loaded(known: dict[str, Stanza], wanted: Collection[str]) -> set[str]:
    """What the installer loads here, and what that needs."""
    provided: dict[str, list[str]] = {}
    for name, stanza in known.items():
        for word in _names(stanza.get("Provides", "")):
            provided.setdefault(word, []).append(name)
    waiting = [name for name in wanted if name in known]
    found: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            for need in _names(known[name].get("Depends", "")):
                givers = [need] if need in known else provided.get(need, [])
                waiting += givers[:1] if not set(givers) & set(wanted) else []
    return found


def _names(field: str) -> list[str]:
    return [part.split()[0] for part in field.split(",") if part.split()]


def _modules(
    work: Path, archive: Path, release: str, debs: dict[str, Path], wanted: Collection[str]
) -> Stanza:
    """One udeb with the kernel modules of a usual machine, compressed as they are. It may be empty: without
    any for its kernel the installer would ask whether that is meant."""
    name = f"lab-modules-{release}-di"
    root = work / name
    root.mkdir()
    if wanted:
        kernel = _unpacked(debs[f"linux-image-{release}"], work / "kernel")
        modules = next(path for path in kernel.glob("**/kernel") if path.parent.name == release)
    for part in wanted:
        for source in [modules / part, *modules.glob(f"{part}*")]:
            target = root / "lib/modules" / release / "kernel" / source.relative_to(modules)
            if source.is_dir():
                shutil.copytree(source, target, dirs_exist_ok=True)
            elif source.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(source, target)
    stanza = {
        "Package": name, "Version": "1", "Priority": "standard", "Section": "debian-installer",
        "Kernel-Version": release, "Provides": ", ".join(f"{word}-modules" for word in PROVIDES),
    }  # fmt: skip
    return _built(root, archive, stanza)


def _made(work: Path, archive: Path, stanza: Stanza, debs: Iterable[Path]) -> Stanza:
    root = work / stanza["Package"]
    root.mkdir()
    for deb in debs:
        _unpacked(deb, root)
    shutil.rmtree(root / "usr/share", ignore_errors=True)
    return _built(root, archive, {**stanza, "Depends": "libblkid1-udeb, libuuid1-udeb, libc6-udeb"})


def _built(root: Path, archive: Path, stanza: Stanza) -> Stanza:
    fields = {  # the installer's own parser wants the name first
        "Package": stanza["Package"], "Architecture": "amd64", "Maintainer": "lab <root@localhost>",
        "Description": "made for the lab", **{key: stanza[key] for key in stanza if key not in FILE},
    }  # fmt: skip
    (root / "DEBIAN").mkdir(parents=True)
    (root / "DEBIAN/control").write_text("".join(f"{key}: {value}\n" for key, value in fields.items()))
    name = f"pool/lab/{fields['Package']}.udeb"
    (archive / name).parent.mkdir(parents=True, exist_ok=True)
    command = ["dpkg-deb", "--root-owner-group", "-Zxz", "-z1", "--build", str(root), str(archive / name)]
    subprocess.run(command, check=True, capture_output=True)
    data = (archive / name).read_bytes()
    return {**fields, "Filename": name, "Size": str(len(data)), "SHA256": hashlib.sha256(data).hexdigest()}


def _index(archive: Path, debs: list[Stanza], udebs: list[Stanza]) -> None:
    """dists/SUITE with what is there and nothing else."""
    place = archive / "dists" / SUITE
    sums = []
    for part, stanzas in (("main/binary-amd64", debs), ("main/debian-installer/binary-amd64", udebs)):
        # The blank line behind the last one, too: without it debootstrap does not find that package.
        text = "".join("".join(f"{k}: {v}\n" for k, v in one.items()) + "\n" for one in stanzas).encode()
        release = f"Archive: {SUITE}\nComponent: main\nArchitecture: amd64\n".encode()
        (place / part).mkdir(parents=True)
        for name, data in (("Packages", text), ("Packages.gz", gzip.compress(text, mtime=0)),
                           ("Packages.xz", lzma.compress(text)), ("Release", release)):  # fmt: skip
            (place / part / name).write_bytes(data)
            sums.append(f" {hashlib.sha256(data).hexdigest()} {len(data)} {part}/{name}\n")
    release = (
        f"Origin: Debian\nLabel: Debian\nSuite: stable\nVersion: 13.0\nCodename: {SUITE}\n"
        "Date: Sat, 01 Jan 2022 00:00:00 UTC\nArchitectures: amd64\nComponents: main\n"
        f"SHA256:\n{''.join(sums)}"
    )
    _sign(archive, place, release.encode())
    shutil.copytree(place, archive / "dists" / "stable")


def _sign(archive: Path, place: Path, release: bytes) -> None:
    key = ArchiveKey(archive.parent / "key")
    (place / "Release").write_bytes(release)
    (place / "InRelease").write_bytes(key.inline(release))
    (place / "Release.gpg").write_bytes(key.detached(release))
    (archive / "archive-key.gpg").write_bytes(key.public())


def _stanzas(text: str) -> list[Stanza]:
    """Entries of an index; of fields with several lines all of them."""
    found = []
    for block in text.split("\n\n"):
        fields: Stanza = {}
        name = ""
        for line in block.splitlines():
            if line[:1] in (" ", "\t"):
                fields[name] += f"\n{line}"
            else:
                name, _, value = line.partition(":")
                fields[name] = value.strip()
        if fields:
            found.append(fields)
    return found


def _fetch(path: str, place: Path) -> bool:
    place.parent.mkdir(parents=True, exist_ok=True)
    done = subprocess.run([*HELPER, f"{MIRROR}/{path}", str(place)], capture_output=True, check=False,
                          timeout=300)  # fmt: skip
    return done.returncode == 0


def _unpacked(deb: Path, place: Path) -> Path:
    subprocess.run(["dpkg-deb", "--extract", str(deb), str(place)], check=True, capture_output=True)
    return place
