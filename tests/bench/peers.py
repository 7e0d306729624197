"""The servers that ours is measured against, without installing them: a Debian package of a server starts it.

What is not on this machine already is downloaded (as root, by apt) and unpacked into build/peers, with the
libraries that it needs; nothing of it is configured or started by Debian. A peer that cannot be had is said
and left out.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

HOME = Path(__file__).parents[2] / "build/peers"
PACKAGES = {
    "nginx": "nginx",
    "in.tftpd": "tftpd-hpa",
    "atftpd": "atftpd",
    "dnsmasq": "dnsmasq-base",
    "nsd": "nsd",
    "dnsperf": "dnsperf",
    "kea-dhcp4": "kea-dhcp4-server",
    "dhcpd": "isc-dhcp-server",
    "perfdhcp": "kea-admin",
    "nft": "nftables",
    "casync": "casync",
    "restic": "restic",
    "borg": "borgbackup",
    "partclone.ext4": "partclone",
    "rsync": "rsync",
    "nbdkit": "nbdkit",
    "nbd-server": "nbd-server",
    "nbdcopy": "libnbd-bin",
}
_PLACES = ("usr/sbin", "usr/bin", "sbin", "bin")
_SYSTEM = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"


@cache
def command(program: str) -> tuple[str, ...]:
    """How `program` is started: arguments to put before its own. Empty: it cannot be had here."""
    if found := shutil.which(program, path=_SYSTEM):
        return (found,)
    root = HOME / PACKAGES[program]
    if not (found := _within(root, program)):
        try:
            _fetch(PACKAGES[program], root)
        except (OSError, subprocess.SubprocessError) as error:
            said = getattr(error, "stderr", None) or str(error)
            print(f"{program} is missing: {said.strip().splitlines()[-1][:200]}", file=sys.stderr, flush=True)
            return ()
        found = _within(root, program)
    if not found:
        print(f"{program} is missing: package {PACKAGES[program]} does not have it", file=sys.stderr)
        return ()
    libraries = {str(path.parent) for path in root.rglob("*.so.*")}
    modules = [str(path) for path in (root / "usr/lib/python3/dist-packages",) if path.is_dir()]
    python = [f"PYTHONPATH={':'.join(modules)}"] if modules else []
    return ("env", f"LD_LIBRARY_PATH={':'.join(sorted(libraries))}", *python, found)


def _within(root: Path, program: str) -> str | None:
    return shutil.which(program, path=":".join(str(root / place) for place in _PLACES))


def _fetch(package: str, root: Path) -> None:
    """Download a package and what it needs beyond what is installed, and unpack all of it."""
    store = HOME / "deb" / package
    (store / "partial").mkdir(parents=True, exist_ok=True)
    _run(
        "apt-get", "-q", "-y", "-o", f"Dir::Cache::Archives={store}", "-o", "APT::Sandbox::User=root",
        "-o", "DPkg::Lock::Timeout=300", "install", "--download-only", "--no-install-recommends", package,
    )  # fmt: skip
    for deb in store.glob("*.deb"):
        _run("dpkg-deb", "-x", str(deb), str(root))


def _run(*words: str) -> None:
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run(words, check=True, capture_output=True, text=True, timeout=300, env=quiet)
