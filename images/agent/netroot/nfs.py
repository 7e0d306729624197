"""A directory over NFS, by the kernel's own client and without a helper program: version 4 first, then 3.

`hard`: while the server is away everything that needs it waits, and goes on when it is back. Version 3
without locks, since nobody here answers the server's lock manager. Python 3.8, standard library only.
"""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any, Mapping, NamedTuple, Tuple

from images.agent.netroot.mounts import NOATIME, RDONLY, modprobe, mount

MODULES = ("nfs", "nfsv4", "nfsv3")
STEADY = "nocto,actimeo=600"  # of what never changes: attributes need no second look


class Place(NamedTuple):
    """Where a server is, and what it speaks, best first. `mount_port` is version 3's, 0: ask rpcbind."""

    address: str
    port: int
    mount_port: int
    versions: Tuple[str, ...]


def place_of(row: Mapping[str, Any]) -> Place:
    """From the task. Raises KeyError, ValueError."""
    mount_port = int(row.get("mount_port") or 0)
    return Place(str(row["host"]), int(row["port"]), mount_port, tuple(map(str, row["versions"])))


def options(place: Place, own: str, version: str, steady: bool) -> str:
    """mount(2)'s data, as nfs(5) names it. `own` is our address."""
    words = [f"vers={version}", "proto=tcp", "hard", "timeo=600", "retrans=2", f"addr={place.address}"]
    words += [f"port={place.port}"]
    if version == "3":
        words += ["nolock", "mountproto=tcp", f"mountaddr={place.address}"]
        words += [f"mountport={place.mount_port}"] if place.mount_port else []
    else:
        words += [f"clientaddr={own}"]
    return ",".join([*words, *([STEADY] if steady else [])])


def identify(name: str) -> None:
    """Who we are to servers of version 4 (RFC 8881 section 2.4): Linux makes the client's owner of its
    hostname, and owners should differ."""
    socket.sethostname(name)


def attach(place: Place, path: str, own: str, target: Path, writable: bool) -> str:
    """Mounts it; returns the version that the server speaks. Raises the last version's OSError."""
    modprobe(MODULES)
    trouble: OSError = OSError("no version of NFS was named")
    for version in place.versions:
        flags = NOATIME | (0 if writable else RDONLY)
        try:
            data = options(place, own, version, not writable)
            mount(f"{place.address}:{path}", target, "nfs", flags, data)
        except OSError as error:
            trouble = error
            continue
        return version
    raise trouble
