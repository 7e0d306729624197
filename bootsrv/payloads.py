"""Boot loaders for `payload_dir`, taken from Debian's package of a recent iPXE.

Why not the host's own package: Debian 12 ships a 2019 iPXE for x86 only; Debian 13's (2025) knows amd64,
arm64, riscv64 and loong64. So the package is fetched with apt, checked by its own signatures, in a private
apt state that leaves the host's package lists alone. The mirror is the one the host already uses.

The law: nothing unsigned is unpacked, and a finished directory appears whole or not at all.
Standard library only: `run setup` starts this while the environment is still being installed.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Mapping
from pathlib import Path

from bootsrv.aptcall import AptFailed, call, furnish
from images.workplace import workplace

SUITE = "trixie"
PACKAGE = "ipxe"
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
FORMAT = 1

# Our name -> path in the package. The names are what DHCP hands out (see pxe.loaders).
FILES: Mapping[str, str] = {
    "undionly.kpxe": "usr/lib/ipxe/undionly.kpxe",
    "ipxe.pxe": "usr/lib/ipxe/ipxe.pxe",
    "ipxe.lkrn": "usr/lib/ipxe/ipxe.lkrn",
    "ipxe.efi": "usr/lib/ipxe/ipxe-amd64.efi",
    "snponly.efi": "usr/lib/ipxe/snponly.efi",
    "ipxe-arm64.efi": "usr/lib/ipxe/ipxe-arm64.efi",
    "ipxe-riscv64.efi": "usr/lib/ipxe/ipxe-riscv64.efi",
    "ipxe-loong64.efi": "usr/lib/ipxe/ipxe-loong64.efi",
    "copyright": "usr/share/doc/ipxe/copyright",
}

APT_CONF = """\
Dir::Etc::SourceList "{state}/sources.list";
Dir::Etc::SourceParts "/dev/null";
Dir::State::Lists "{state}/lists";
Dir::Cache "{state}/cache";
"""
PARTS = ("lists/partial", "cache/archives/partial", "debs")


class PayloadError(Exception):
    """The loaders could not be fetched; the text is one line that says what to do."""


def default_dir() -> Path:
    """Where payloads live when the configuration says nothing."""
    return Path(sys.prefix) / "share" / "bootsrv"


def wanted() -> str:
    """What a finished directory is compared with: changes whenever the list above does."""
    return hashlib.sha256(json.dumps([FORMAT, SUITE, PACKAGE, dict(FILES)]).encode()).hexdigest()


def is_current(out: Path) -> bool:
    """Whether `out` holds every loader this version of bootsrv wants, undamaged in size."""
    try:
        manifest = json.loads((out / "manifest.json").read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return False
    sizes = manifest.get("sizes", {})
    return manifest.get("wanted") == wanted() and all(
        (out / name).is_file() and (out / name).stat().st_size == sizes.get(name) for name in FILES
    )


def mirror() -> str:
    """The Debian mirror of this host, from its apt configuration. Raises PayloadError when it names none."""
    wanted_fields = "$(ORIGIN)|$(LABEL)|$(CODENAME)|$(REPO_URI)"
    lines = _run(["apt-get", "indextargets", "--format", wanted_fields]).splitlines()
    rows = [line.split("|", 3) for line in lines]
    debian = [row for row in rows if row[0] == "Debian" and row[1] == "Debian"]
    # A host that already knows the suite is asked where from; else any main archive mirror carries it.
    for row in sorted(debian, key=lambda row: (row[2] != SUITE, "-" in row[2])):
        return row[3]
    raise PayloadError("apt knows no Debian mirror: run 'apt-get update', or check /etc/apt/sources.list.d")


def fetch(out: Path) -> str:
    """Fetch the package, unpack the loaders into `out` and return the package's version.

    Raises PayloadError with one line when apt cannot reach or does not trust the mirror.
    """
    if not KEYRING.exists():
        raise PayloadError(f"{KEYRING} is missing: apt-get install debian-archive-keyring")
    with workplace("apt", Path(tempfile.gettempdir())) as state:
        sources = f"deb [signed-by={KEYRING}] {mirror()} {SUITE} main\n"
        furnish(state, PARTS, APT_CONF.format(state=state), sources)
        _run(["apt-get", "-qq", "--error-on=any", "update"], state)
        _run(["apt-get", "-qq", "download", PACKAGE], state, state / "debs")
        debs = sorted((state / "debs").glob("*.deb"))
        if len(debs) != 1:
            raise PayloadError(f"apt downloaded {len(debs)} files for {PACKAGE}, expected one")
        version = _run(["dpkg-deb", "--field", str(debs[0]), "Version"]).strip()
        _unpack(debs[0], out, version)
    return version


def _unpack(deb: Path, out: Path, version: str) -> None:
    """Replace `out` by a directory with just the files we serve, each readable by everyone."""
    archive = subprocess.run(["dpkg-deb", "--fsys-tarfile", str(deb)], check=True, capture_output=True).stdout
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".loaders-", dir=out.parent) as name:
        new = Path(name) / "loaders"
        new.mkdir(mode=0o755)
        sizes = _extract(archive, new, deb.name)
        manifest = {
            "package": PACKAGE, "version": version, "suite": SUITE, "wanted": wanted(), "sizes": sizes
        }  # fmt: skip
        (new / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")
        if out.exists():
            out.rename(Path(name) / "old")
        new.rename(out)


def _extract(archive: bytes, folder: Path, package: str) -> dict[str, int]:
    """Writes our files of the package's archive into `folder`; their sizes."""
    sizes = {}
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        for name, path in FILES.items():
            try:
                member = tar.extractfile(f"./{path}")
            except KeyError:
                member = None
            if member is None:
                raise PayloadError(f"{package} has no {path}: it is not the package we know")
            sizes[name] = (folder / name).write_bytes(member.read())
            (folder / name).chmod(0o644)
    return sizes


def _run(command: list[str], state: Path | None = None, cwd: Path | None = None) -> str:
    """Run a tool; its output. PayloadError carries the first line it complained with."""
    try:
        return call(command, state, cwd)
    except AptFailed as error:
        raise PayloadError(str(error)) from error


def main() -> int:
    """`python -m bootsrv.payloads`: make the loaders directory; nothing to do when it is current."""
    parser = argparse.ArgumentParser(prog="bootsrv.payloads", description="Fetch the boot loaders.")
    parser.add_argument("--out", type=Path, default=default_dir() / "loaders")
    parser.add_argument("--refresh", action="store_true", help="fetch again even if everything is there")
    options = parser.parse_args()
    if is_current(options.out) and not options.refresh:
        sys.stdout.write("loaders are current\n")
        return 0
    try:
        version = fetch(options.out)
    except PayloadError as error:
        sys.stderr.write(f"boot loaders: {error}\n")
        return 1
    sys.stdout.write(f"loaders from {PACKAGE} {version}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
