"""Which file systems belong to the machine that is captured: the root's, and those below it that hold parts
of the system. Others are named, so that nobody misses them later.

proc(5), /proc/PID/mountinfo. Python 3.8, standard library only.
"""

from __future__ import annotations

from typing import Dict, List, NamedTuple, Sequence

from images.octal import plain

LOCAL = frozenset(
    {"ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "jfs", "reiserfs", "bcachefs", "nilfs2", "zfs"}
)
SYSTEM = ("/boot", "/usr", "/var", "/opt", "/srv", "/root", "/etc")  # and what is mounted below them


class Mount(NamedTuple):
    """A mounted file system: where (below the root that is captured, "/" itself included), and which kind."""

    where: str
    kind: str


class Choice(NamedTuple):
    """`entered` and `left_out`: mount points in order; only local file systems are worth a word."""

    entered: List[Mount]
    left_out: List[Mount]


def is_system(where: str) -> bool:
    """Whether what is mounted there is part of the system, and not of its users."""
    return any(where == place or where.startswith(place + "/") for place in SYSTEM)


def parse_mounts(text: str, root: str = "/") -> List[Mount]:
    """The mounts at and below `root`; of several on one place the last is the one that is seen."""
    found: Dict[str, Mount] = {}
    prefix = root.rstrip("/")
    for line in text.splitlines():
        left, _, right = line.partition(" - ")
        fields, kinds = left.split(), right.split()
        if len(fields) < 5 or not kinds:
            continue
        place = plain(fields[4])
        if place == prefix or place.startswith(prefix + "/"):
            where = place[len(prefix) :] or "/"
            found[where] = Mount(where, kinds[0])
    return [found[where] for where in sorted(found)]


def choose(mounts: Sequence[Mount], wanted: Sequence[str], unwanted: Sequence[str]) -> Choice:
    """What is entered: the root, system directories on local file systems, and what was asked for."""
    entered: List[Mount] = []
    left_out: List[Mount] = []
    for mount in mounts:
        if mount.where == "/":
            continue
        local = mount.kind in LOCAL
        system = is_system(mount.where)
        asked = mount.where in wanted
        above = [other for other in left_out if mount.where.startswith(other.where + "/")]
        if asked or (local and system and mount.where not in unwanted and not above):
            entered.append(mount)
        elif local:
            left_out.append(mount)
    return Choice(entered, left_out)
