"""Directories of files with a list beside them: `HOME/index.tsv` and `HOME/files/`. Lists are read when
they are first asked for, and again when they have changed."""

from __future__ import annotations

from pathlib import Path

from bootsrv.trees import index as lists
from bootsrv.trees.index import Index

INDEX, FILES = "index.tsv", "files"


class Lists:
    """Look-ups are for one thread."""

    def __init__(self) -> None:
        self._lists: dict[Path, tuple[tuple[int, int], Index]] = {}

    def get(self, home: Path) -> Index | None:
        """The list of `home`; None when there is none. Raises BootsrvError when it is damaged."""
        path = home / INDEX
        try:
            info = path.stat()
        except FileNotFoundError:
            self._lists.pop(path, None)
            return None
        stamp = (info.st_mtime_ns, info.st_ino)
        known = self._lists.get(path)
        if known is None or known[0] != stamp:
            known = self._lists[path] = (stamp, lists.load(path))
        return known[1]

    def find(self, home: Path, name: str) -> tuple[Path, Path] | None:
        """(file, directory that it must lie in) for a normalised name; None when there is none."""
        index = self.get(home)
        key = index.find(name) if index is not None else None
        return None if key is None else (home / FILES / key, home / FILES)
