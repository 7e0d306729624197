"""A directory over NFS, by the kernel's own client and without a helper program: version 4 first, then 3.

`hard`: while the server is away everything that needs it waits, and goes on when it is back. Version 3
without locks, since nobody here answers the server's lock manager. Python 3.8, standard library only.
"""

from __future__ import annotations

from pathlib import Path
from typing import Sequence

from images.agent.netroot.mounts import NOATIME, RDONLY, modprobe, mount

MODULES = ("nfs", "nfsv4", "nfsv3")
STEADY = "nocto,actimeo=600"  # of what never changes: attributes need no second look


def options(address: str, own: str, version: str, port: int, steady: bool) -> str:
    """mount(2)'s data, as nfs(5) names it."""
    words = [f"vers={version}", "proto=tcp", "hard", "timeo=600", "retrans=2", f"addr={address}"]
    if version == "3":
        words += ["nolock", "mountproto=tcp", f"mountaddr={address}"]
    else:
        words += [f"clientaddr={own}"]
    if port and port != 2049:
        words += [f"port={port}"] + ([f"mountport={port}"] if version == "3" else [])
    return ",".join([*words, *([STEADY] if steady else [])])


def attach(
    address: str, path: str, own: str, target: Path, versions: Sequence[str], port: int, writable: bool
) -> str:
    """Mounts it; returns the version that the server speaks. Raises the last version's OSError."""
    modprobe(MODULES)
    trouble: OSError = OSError("no version of NFS was named")
    for version in versions:
        flags = NOATIME | (0 if writable else RDONLY)
        try:
            mount(
                f"{address}:{path}", target, "nfs", flags, options(address, own, version, port, not writable)
            )
        except OSError as error:
            trouble = error
            continue
        return version
    raise trouble
