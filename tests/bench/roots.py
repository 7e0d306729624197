"""Two Debian roots to measure with: the release, and the same with all its security updates.

Built once by mmdebstrap from where this host's apt gets its packages, and kept below build/bench/roots.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from images.mirror import KEYRING, host_mirrors, sources

FOLDER = Path(__file__).parent.parent.parent / "build" / "bench" / "roots"
PACKAGES = "linux-image-amd64,initramfs-tools,zstd,systemd-sysv,udev,openssh-server,gcc,python3,iproute2,less"
SUITE = "bookworm"


def roots() -> tuple[Path, Path]:
    """(release, updated): the second also takes what the security archive has."""
    release, updated = FOLDER / "release", FOLDER / "updated"
    if not updated.exists():
        FOLDER.mkdir(parents=True, exist_ok=True)
        main, *security = sources(SUITE, host_mirrors())
        _build(release, [main])
        _build(updated, [main, *security])
    return release, updated


def _build(target: Path, lines: list[str]) -> None:
    """Never half there: built beside its name."""
    temp = target.with_name(target.name + ".tmp")
    shutil.rmtree(temp, ignore_errors=True)
    command = ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={PACKAGES}", f"--keyring={KEYRING}"]
    subprocess.run([*command, SUITE, str(temp), *lines], check=True)
    temp.rename(target)
