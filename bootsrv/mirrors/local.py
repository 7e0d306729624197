"""Our own archives: `DATA_DIR/mirrors/NAME/` with its record, its list and its files. For networks without
a way out.

Filled by `bootsrv mirror fill`, served at /mirror/NAME/ as any other; whole or not there.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from bootsrv.errors import BootsrvError, NotFound
from bootsrv.trees.listed import Lists
from bootsrv.trees.place import vanish

RECORD = "mirror.json"


class LocalMirror(msgspec.Struct, frozen=True):
    """One filled archive. `missing`: of the installer's packages, those that its source did not have."""

    name: str
    suite: str
    arch: str
    packages: tuple[str, ...]  # that were asked for
    filled: float  # epoch seconds
    files: int
    bytes: int
    tree: str = ""  # whose installer it serves
    missing: tuple[str, ...] = ()


class LocalMirrors:
    """All archives below `root`, which need not be there. Look-ups are for one thread."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self._lists = Lists()

    def names(self) -> list[str]:
        """The names of all."""
        if not self.root.is_dir():
            return []
        return sorted(p.name for p in self.root.iterdir() if p.name[0] != "." and (p / RECORD).exists())

    def get(self, name: str) -> LocalMirror:
        """One. Raises NotFound, BootsrvError when its record is damaged."""
        if name not in self.names():
            known = ", ".join(self.names())
            there = f"there are: {known}" if known else "`bootsrv mirror fill` makes one"
            raise NotFound(f"there is no filled archive {name!r}; {there}")
        path = self.root / name / RECORD
        try:
            return msgspec.json.decode(path.read_bytes(), type=LocalMirror)
        except msgspec.DecodeError as error:
            raise BootsrvError(f"{path}: damaged ({error}); fill it again") from error

    def find(self, name: str, path: str) -> tuple[Path, Path] | None:
        """(file, directory that it must lie in) for a clean path; None when there is none."""
        return self._lists.find(self.root / name, path) if name in self.names() else None

    def remove(self, name: str) -> LocalMirror:
        """Take one away. Raises NotFound."""
        found = self.get(name)
        vanish(self.root, name)
        return found
