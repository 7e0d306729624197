"""What whoever decides about exports asks of an NFS server, and the errors."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from shutil import which
from typing import Protocol

from images.errors import ImageError
from images.nfs.export import Export


class ExportFailed(ImageError):
    """The NFS server could not be started or did not take what it was told; the text says what to do."""


class Server(Protocol):
    """One NFS server. All calls from one thread."""

    @property
    def name(self) -> str: ...

    @property
    def port(self) -> int: ...

    @property
    def mount_port(self) -> int:
        """Of version 3; 0: none is known, the machine's rpcbind tells."""

    @property
    def versions(self) -> tuple[str, ...]:
        """As mount options, best first."""

    @property
    def mounts(self) -> Path:
        """Where the file systems that it is to export have to be mounted."""

    def path_of(self, export: Export) -> str:
        """What a client mounts."""

    def apply(self, exports: Sequence[Export]) -> None:
        """From now on exactly these; starts the server when it does not run. Raises ExportFailed, OSError."""

    def close(self) -> None:
        """Withdraw everything."""


def tool(name: str) -> Path | None:
    """A program of the system's, wherever it is. Daemons lie where a user's PATH does not look."""
    found = which(name, path="/usr/sbin:/usr/bin:/sbin:/bin")
    return Path(found) if found else None
