"""The kernel's own NFS server, where it runs: our drop-in beside the administrator's /etc/exports.

Started and stopped by the administrator; exportfs(8) adds and withdraws while it runs. A client of version 4
walks to an export from / as nobody, so every directory on the way must let it through: no file system is
exported from below a data directory, which is closed.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

from images.disk import write_file
from images.nfs import kernel_conf
from images.nfs.export import Export
from images.nfs.server import ExportFailed, tool

DROP_IN = Path("/etc/exports.d/bootsrv.exports")
MOUNTS = Path("/run/bootsrv-nfs")
THREADS = Path("/proc/fs/nfsd/threads")
PORT = 2049


class KernelServer:
    """Implements `server.Server`."""

    name, port, mount_port, versions = "kernel", PORT, 0, ("4.2", "3")

    def __init__(self, drop_in: Path = DROP_IN, mounts: Path = MOUNTS) -> None:
        self._drop_in, self.mounts = drop_in, mounts

    def path_of(self, export: Export) -> str:
        """Without a root of its own (fsid=0) the kernel's server has every export at its place."""
        return str(export.directory)

    def apply(self, exports: Sequence[Export]) -> None:
        """Exactly these from now on. Raises ExportFailed, OSError."""
        self._drop_in.parent.mkdir(mode=0o755, exist_ok=True)
        write_file(self._drop_in, kernel_conf.exports(exports).encode(), mode=0o644)
        self._refresh()

    def close(self) -> None:
        """Withdraw what is ours."""
        if self._drop_in.exists():
            self._drop_in.unlink()
            self._refresh()

    def _refresh(self) -> None:
        done = subprocess.run([tool("exportfs") or "exportfs", "-r"], capture_output=True, text=True)
        if done.returncode:
            raise ExportFailed(f"exportfs -r: {done.stderr.strip() or done.returncode}")


def runs(threads: Path = THREADS) -> bool:
    """Whether the kernel serves NFS now, and can be told what."""
    try:
        return int(threads.read_text()) > 0 and tool("exportfs") is not None
    except (FileNotFoundError, ValueError):
        return False
