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
            count["sockets, which are left out"] += 1
            return
        if entry.type == "hardlink" or form == TAR:
            return
        if entry.extents is not None:
            count["files lose their holes, which read as zeros"] += 1
        if form == OCI:
            return
        if not 0 <= entry.mtime_ns < _LAST * 10**9:
            count["names have times outside 1970 to 2106, which change"] += 1
        elif entry.mtime_ns % 10**9:
            count["names have their times rounded down to seconds"] += 1
        gone = entry.xattrs.keys() - in_squashfs(entry.xattrs).keys()
        if gone & ACLS.keys():
            count["names lose their ACLs; the group has the rights of the ACL's mask"] += 1
        if gone - ACLS.keys():
            count["names lose extended attributes"] += 1

    def lines(self) -> tuple[str, ...]:
        """What is to be told."""
        return tuple(f"{self._form}: {number} {what}" for what, number in sorted(self._count.items()))


def in_squashfs(xattrs: Mapping[str, bytes]) -> Mapping[str, bytes]:
    """Those that squashfs has: not ACLs (system.*), nor what a file system keeps for itself (btrfs.*); and
    not, since tar2sqfs does not read its keyword, one with `=` in its name.
    """
    return {key: value for key, value in xattrs.items() if key.startswith(_SQUASHFS) and "=" not in key}
