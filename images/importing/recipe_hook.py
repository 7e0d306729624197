"""What happens to a new root after its packages: the recipe's files and commands, then its identity is
taken away.

mmdebstrap runs this as its own process, with the root's path as the last argument and a JSON file (what to
do) as the first. Standard library only, and by its path: it must not depend on how the program is
installed. Law: an image carries nothing that two machines must not share: no machine-id, host keys, random
seed, host name, no password for root.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

GONE = (
    "etc/ssh/ssh_host_*", "var/lib/dbus/machine-id", "var/lib/systemd/random-seed", "etc/hostname",
    "var/log/apt/*", "var/log/dpkg.log", "var/log/bootstrap.log", "var/log/alternatives.log",
    "var/cache/apt/*.bin", "var/cache/ldconfig/aux-cache", "etc/.pwd.lock", "etc/passwd-", "etc/group-",
    "etc/shadow-", "etc/gshadow-", "root/.bash_history",
)  # fmt: skip


def main(arguments: list[str]) -> int:
    """`SPEC.json ROOT`; exit status 0 when all was done."""
    spec, root = json.loads(Path(arguments[0]).read_text("utf-8")), Path(arguments[-1])
    for where, row in spec["files"].items():
        _write(root, where, row["content"], row["mode"])
    for command in spec["run"]:
        done = subprocess.run(["chroot", str(root), *command], stdin=subprocess.DEVNULL)
        if done.returncode:
            sys.stderr.write(f"E: {' '.join(command)} ended with {done.returncode}\n")
            return 1
    strip(root)
    return 0


def _write(root: Path, where: str, content: str, mode: int) -> None:
    path = root / where.lstrip("/")
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_symlink():  # replace it; writing through it could leave the root
        path.unlink()
    path.write_text(content, "utf-8")
    path.chmod(mode)


def strip(root: Path) -> None:
    """Take away the identity. An empty machine-id makes systemd draw a new one at the next boot."""
    for pattern in GONE:
        for path in root.glob(pattern):
            path.unlink()
    identity = root / "etc/machine-id"
    if identity.is_symlink():
        identity.unlink()
    identity.write_bytes(b"")
    identity.chmod(0o444)
    shadow = root / "etc/shadow"
    if shadow.is_file():
        lines = shadow.read_text("utf-8").splitlines()
        shadow.write_text("".join(_locked(line) + "\n" for line in lines), "utf-8")


def _locked(line: str) -> str:
    name, _, rest = line.partition(":")
    return line if name != "root" else f"root:*:{rest.partition(':')[2]}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
