"""Lists directories for the walk, and has others looked at that it will come to.

A disk that is asked for one directory after the other answers with its latency each time; of a tree in whose
files nothing changed, that is most of what a comparison takes. Law: no link is followed. Python 3.8, standard
library only.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from itertools import islice
from typing import Callable, Dict, Sequence

from images.agent.update.lines import is_kind, path_of
from images.sealed import SealedManifest

Listing = Dict[bytes, int]  # the name's kind, as st_mode has it
AHEAD = 1024  # directories
STEP = 128  # told at once


class Ahead:
    """Keeps some of the manifest's directories ahead of the walk."""

    def __init__(self, manifest: SealedManifest, tell: Callable[[Sequence[bytes]], None]) -> None:
        self._paths, self._tell = directories(manifest), tell
        self._left = 0  # told, and not come to so far

    def next(self) -> None:
        """The walk is at the next directory."""
        self._left -= 1
        if self._left <= AHEAD - STEP:
            told = list(islice(self._paths, AHEAD - self._left))
            self._left += len(told)
            if told:
                self._tell(told)


def listing(fd: int) -> Listing:
    """What an open directory holds. Not looked at any closer where the directory itself tells the kinds."""
    with os.scandir(fd) as found:
        return {os.fsencode(each.name): _kind(each) for each in found}


def _kind(name: os.DirEntry[str]) -> int:
    if name.is_file(follow_symlinks=False):
        return stat.S_IFREG
    if name.is_dir(follow_symlinks=False):
        return stat.S_IFDIR
    return stat.S_IFLNK if name.is_symlink() else 0  # what else it may be is looked at


def directories(manifest: SealedManifest) -> Iterator[bytes]:
    """Their paths."""
    return (path_of(line) for line in manifest.lines() if is_kind(line, b"dir"))
