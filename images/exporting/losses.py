"""What a form of export cannot say, counted while it is written and told at its end: whoever needs it takes
another form.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from images.manifest import Entry
from images.pax import ACLS

TAR, OCI, SQUASHFS = "tar", "container image", "squashfs"
_SQUASHFS = ("user.", "trusted.", "security.")
_LAST = 1 << 32  # squashfs counts seconds in 32 bits


class Losses:
    """Of one export in that form."""

    def __init__(self, form: str) -> None:
        self._form = form
        self._count: Counter[str] = Counter()

    def see(self, entry: Entry) -> None:
        """Count what is lost of a name."""
        count, form = self._count, self._form
        if entry.type == "socket":
            count["sockets are left out"] += 1
            return
        if entry.type == "hardlink" or form == TAR:
            return
        if entry.extents is not None:
            count["holes are gone, and read as zeros"] += 1
        if form == OCI:
            return
        if not 0 <= entry.mtime_ns < _LAST * 10**9:
            count["times outside 1970 to 2106 change"] += 1
        elif entry.mtime_ns % 10**9:
            count["times are rounded down to seconds"] += 1
        gone = entry.xattrs.keys() - in_squashfs(entry.xattrs).keys()
        if gone & ACLS.keys():
            count["ACLs are lost, and the group has the rights of the ACL's mask"] += 1
        if gone - ACLS.keys():
            count["extended attributes are lost"] += 1

    def lines(self) -> tuple[str, ...]:
        """What is to be told."""
        rows = sorted(self._count.items())
        return tuple(f"{self._form}: {what} (names: {number})" for what, number in rows)


def in_squashfs(xattrs: Mapping[str, bytes]) -> Mapping[str, bytes]:
    """Those that squashfs has: not ACLs (system.*), nor what a file system keeps for itself (btrfs.*); and
    not, since tar2sqfs does not read its keyword, one with `=` in its name.
    """
    return {key: value for key, value in xattrs.items() if key.startswith(_SQUASHFS) and "=" not in key}
