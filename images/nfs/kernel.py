"""The kernel's own NFS server, where it runs: our drop-in beside the administrator's /etc/exports.

Started and stopped by the administrator; exportfs(8) adds and withdraws while it runs. A client of version 4
walks to an export from / as nobody, so every directory on the way must let it through: no file system is
exported from below a data directory, which is closed.
"""

from __future__ import annotations

import logging
import subprocess
from collections.abc import Sequence
from pathlib import Path

from images.disk import write_file
from images.nfs import kernel_conf
from images.nfs.export import Export
from images.nfs.server import ExportFailed, tool

log = logging.getLogger(__name__)
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
        """Exactly these of ours from now on. Raises ExportFailed, OSError."""
        text = kernel_conf.exports(exports)
        self._withdraw(self._granted() - kernel_conf.granted(text))
        self._drop_in.parent.mkdir(mode=0o755, exist_ok=True)
        write_file(self._drop_in, text.encode(), mode=0o644)
        self._add(kernel_conf.granted(text))

    def close(self) -> None:
        """Withdraw what is ours."""
        self._withdraw(self._granted())
        self._drop_in.unlink(missing_ok=True)

    def _granted(self) -> set[kernel_conf.Granted]:
        try:
            return kernel_conf.granted(self._drop_in.read_text())
        except FileNotFoundError:
            return set()

    def _add(self, ours: set[kernel_conf.Granted]) -> None:
        """An export of the administrator's own that cannot be made is theirs to mend."""
        try:
            _exportfs("-a")
        except ExportFailed as error:
            if any(one.directory in str(error) for one in ours):
                raise
            log.warning("%s", error)

    def _withdraw(self, gone: set[kernel_conf.Granted]) -> None:
        """One by one: `exportfs -r` would also take back what an administrator exported by hand."""
        for one in sorted(gone):
            try:
                _exportfs("-u", f"{one.client}:{one.directory}")
            except ExportFailed as error:
                if "Could not find" not in str(error):  # somebody else withdrew it
                    raise


def _exportfs(*words: str) -> None:
    done = subprocess.run([tool("exportfs") or "exportfs", *words], capture_output=True, text=True)
    if done.returncode:
        raise ExportFailed(f"exportfs {' '.join(words)}: {done.stderr.strip() or done.returncode}")


def runs(threads: Path = THREADS) -> bool:
    """Whether the kernel serves NFS now, and can be told what."""
    try:
        return int(threads.read_text()) > 0 and tool("exportfs") is not None
    except (FileNotFoundError, ValueError):
        return False
