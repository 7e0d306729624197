"""What is exported over NFS and to whom, whichever server does it. Pure.

The law: an export is a file system of its own, or nobody on it is root. A file handle names a file system
and an inode; who was given one can write others down (the root of ext4 is inode 2, generation 0), and
neither nfsd nor nfs-ganesha asks whether an inode lies below the exported directory. From a directory of
the server's own disk a client that is root there reads /etc/shadow in three calls.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

MOST = 65535  # ids are 16 bits in file handles
_PATH = re.compile(r"(/[A-Za-z0-9@._+-]+)+\Z")


@dataclass(frozen=True, slots=True)
class Export:
    """One directory. `id` (1 to MOST) is part of every file handle and never changes; `path` is where
    clients mount it; `clients` are IPv4 addresses, none: nobody. `squash`: whoever asks is nobody here."""

    id: int
    directory: Path
    path: str
    clients: tuple[str, ...]
    writable: bool = False
    squash: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.id <= MOST or not _PATH.match(self.path) or "/.." in self.path:
            raise ValueError(f"no export: {self.id} {self.path}")
        if self.writable and self.squash:
            raise ValueError(f"{self.path}: nobody writes as nobody")
