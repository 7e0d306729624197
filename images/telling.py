"""Files whose first bytes tell what kind of system a tree is: looked at by every import and every capture.

Python 3.8, standard library only.
"""

from __future__ import annotations

RELEASES = (b"etc/os-release", b"usr/lib/os-release")
SHELLS = frozenset(
    {b"usr/bin/bash", b"bin/bash", b"usr/bin/dash", b"bin/dash", b"bin/busybox", b"usr/bin/busybox"}
)
LOOK = 4096  # bytes that suffice
