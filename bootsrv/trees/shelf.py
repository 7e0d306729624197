"""The trees of this server: `DATA_DIR/trees/NAME/`, each with its record, its list and its files.

    tree.json    what it is                    files/       the tree as it was imported, never changed
    index.tsv    every file with its hash      updates/     newer packages: an index.tsv and files/ of its own

A tree appears and goes whole. Look-ups are for one thread; a list is read when it is first asked for.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bootsrv.errors import BootsrvError, NotFound
from bootsrv.trees import record as records
from bootsrv.trees.index import Index
from bootsrv.trees.listed import FILES, Lists
from bootsrv.trees.place import vanish
from bootsrv.trees.record import TreeRecord
from images.progress import Progress, silent

RECORD, UPDATES = "tree.json", "updates"
_RACY_NS = 50_000_000


@dataclass(frozen=True, slots=True)
class Damage:
    """One file that is not as it was imported."""

    name: str
    text: str


class Shelf:
    """All trees below `root`, which need not be there."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self._lists = Lists()
        self._names: tuple[int, frozenset[str]] = (0, frozenset())

    def names(self) -> list[str]:
        """The names of all trees."""
        return sorted(self._known())

    def _known(self) -> frozenset[str]:
        """The same; the directory is read again when it has changed."""
        try:
            changed = self.root.stat().st_mtime_ns
        except FileNotFoundError:
            return frozenset()
        if changed != self._names[0]:
            found = frozenset(
                p.name for p in self.root.iterdir() if p.name[0] != "." and (p / RECORD).exists()
            )
            fresh = (
                time.time_ns() - changed < _RACY_NS
            )  # it may change again within the same tick of the clock
            self._names = (0 if fresh else changed, found)
        return self._names[1]

    def records(self) -> tuple[list[TreeRecord], list[str]]:
        """Every tree that can be read, and what is wrong with the others."""
        found, wrong = [], []
        for name in self.names():
            try:
                found.append(records.load(self.root / name / RECORD))
            except FileNotFoundError:
                continue  # removed in this moment
            except BootsrvError as error:
                wrong.append(str(error))
        return found, wrong

    def get(self, name: str) -> TreeRecord:
        """One tree. Raises NotFound, BootsrvError."""
        if name not in self._known():
            known = ", ".join(self.names())
            make = "make one, such as: bootsrv tree import debian-12 --name debian-12"
            raise NotFound(f"there is no tree {name!r}; {f'there are: {known}' if known else make}")
        return records.load(self.root / name / RECORD)

    def directory(self, name: str) -> Path:
        """The tree as a directory, for an exporter that carries whole directories, read-only. Raises
        NotFound."""
        self.get(name)
        return self.root / name / FILES

    def list(self, name: str, updates: bool = False) -> Index:
        """A tree's list of files. Raises NotFound, BootsrvError."""
        self.get(name)
        place = self.root / name / UPDATES if updates else self.root / name
        return self._lists.get(place) or Index()

    def find(self, tree: str, name: str) -> tuple[Path, Path] | None:
        """(file, directory that it must lie in) for a normalised name; None when there is none."""
        if tree not in self._known():
            return None
        home = self.root / tree
        if name.startswith(f"{UPDATES}/"):
            found = self._lists.find(home / UPDATES, name[len(UPDATES) + 1 :])
            if found is not None:
                return found
        return self._lists.find(home, name)

    def remove(self, name: str) -> TreeRecord:
        """Take a tree away. Raises NotFound."""
        found = self.get(name)
        vanish(self.root, name)
        return found

    def verify(self, name: str, progress: Progress = silent) -> Iterator[Damage]:
        """Read every file of a tree and its updates; yields those that are not as they were."""
        self.get(name)
        for home in (self.root / name, self.root / name / UPDATES):
            index = self._lists.get(home)
            if index is None:
                continue
            total, done = index.bytes, 0
            for file, item in sorted(index.files.items()):
                progress(done, total, file)
                text = _compare(home / FILES / file, item.size, item.sha256)
                if text:
                    yield Damage(file, text)
                done += item.size


def _compare(path: Path, size: int, digest: str) -> str:
    """What is wrong with a file; "" when nothing is."""
    try:
        with path.open("rb") as file:
            real = path.stat().st_size
            if real != size:
                return f"has {real} bytes instead of {size}"
            return "" if hashlib.file_digest(file, "sha256").hexdigest() == digest else "has other contents"
    except FileNotFoundError:
        return "is missing"
    except OSError as error:
        return f"cannot be read: {error.strerror}"
