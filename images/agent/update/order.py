"""In which order names are switched, so that a machine stopped anywhere in between still works. Pure.

Directories come first, then libraries before the programs that need them, then configuration, and what the
machine boots from last; in each class links come after what they point to. Removals follow, content before
its directory. Python 3.8, standard library only.
"""

from __future__ import annotations

import re

_LIBRARY = re.compile(rb"(usr/)?(local/)?lib(32|64|x32|exec)?/")
_PLAIN_DATA = re.compile(rb"(usr/)?lib/(modules|firmware|python3|systemd/system)\b|usr/share/")
_PROGRAM = re.compile(rb"(.*/)?s?bin/|usr/libexec/|opt/")
_KERNEL = re.compile(rb"boot/(vmlinu|kernel|bzImage|initr)")


def place(path: bytes, type: str) -> tuple[int, bool, bytes]:
    """Sort key of a new or replaced name."""
    return (_class(path, type), type == "symlink", path)


def _class(path: bytes, type: str) -> int:
    if type == "dir":
        return 0
    if path.startswith(b"boot/"):
        return 6 if _KERNEL.match(path) else 5
    if path.startswith(b"etc/"):
        return 4
    if _PLAIN_DATA.match(path):
        return 1
    if _LIBRARY.match(path):
        return 2
    return 3 if _PROGRAM.match(path) else 1


def is_boot(path: bytes) -> bool:
    """Whether the boot menu may have to change with it."""
    return _KERNEL.match(path) is not None
