"""The file systems that make up the tree: where each is mounted in it, what is in its way, on which device.

Python 3.8, standard library only.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path

from images.agent.inplace.aside import Aside
from images.agent.inplace.flags import SETTABLE, clear_flags, flags_of
from images.agent.update.folders import DIR

_DIRECT = os.O_RDONLY | os.O_CLOEXEC | getattr(os, "O_DIRECT", 0)


class Place:
    """One of them. `prefix`: its path in the tree; `device`: open for reading, if files are found on it."""

    def __init__(self, top: Path, prefix: bytes, device: str | None) -> None:
        self.prefix = prefix
        self.aside = Aside(top)
        self.device: int | None = None
        if device is not None:
            try:
                self.device = os.open(device, _DIRECT)
            except OSError:  # one that cannot be read past the cache is read through it
                self.device = None

    def inner(self, path: bytes) -> bytes:
        """That path of the tree, within this file system."""
        return path[len(self.prefix) + 1 :] if self.prefix else path

    def close(self) -> None:
        """Lets go of everything."""
        self.aside.close()
        if self.device is not None:
            os.close(self.device)
            self.device = None


def above(prefixes: Mapping[bytes, Place]) -> frozenset[bytes]:
    """The directories on the way to where others are mounted: these stay, whatever the image knows."""
    found = set()
    for prefix in prefixes:
        while prefix:
            found.add(prefix)
            prefix = prefix.rpartition(b"/")[0]
    return frozenset(found)


def clear_way(target: Path, prefix: bytes, places: Mapping[bytes, Place]) -> None:
    """Before something is mounted there: no link leads elsewhere, and nothing stays hidden below the mount.

    `places`: what is mounted so far. What is on the way and no directory goes aside, and so does the last
    directory with all it holds; whoever mounts makes it anew.
    """
    if not prefix:
        return
    handle, path, place = os.open(str(target), DIR), b"", places[b""]
    try:
        for part in prefix.split(b"/"):
            path = path + b"/" + part if path else part
            try:
                kind = os.stat(part, dir_fd=handle, follow_symlinks=False).st_mode
            except FileNotFoundError:
                return
            found = flags_of(handle)
            if found & SETTABLE:
                clear_flags(handle, found)
            if path == prefix or not stat.S_ISDIR(kind):
                place.aside.take(place.inner(path), handle)
                return
            handle, before = os.open(part, DIR, dir_fd=handle), handle
            os.close(before)
            place = places.get(path, place)
    finally:
        os.close(handle)
