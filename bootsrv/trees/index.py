"""The list of a tree's files: name, size, SHA-256; and its links, by what they stand for.

One line a file, written once at import. The law: a name from the network is only a key of this list; what it
gives is a name that we wrote to the disk ourselves.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from bootsrv.errors import BootsrvError

_LINK = "->"
_HOPS = 16  # links through links


@dataclass(frozen=True, slots=True)
class Item:
    """One file: bytes, hexadecimal SHA-256."""

    size: int
    sha256: str


@dataclass(slots=True)
class Index:
    """Files by name; `links` by name, their targets normalised and inside the tree ("" is the tree)."""

    files: dict[str, Item] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)

    def find(self, name: str) -> str | None:
        """The file that `name` (normalised) stands for, links followed; None when there is none."""
        for _ in range(_HOPS):
            if name in self.files:
                return name
            part = next((part for part in _prefixes(name) if part in self.links), None)
            if part is None:
                return None
            name = "/".join(one for one in (self.links[part], name[len(part) + 1 :]) if one)
        return None

    @property
    def bytes(self) -> int:
        return sum(item.size for item in self.files.values())

    def save(self, path: Path) -> None:
        """Write it beside, then in place."""
        lines = [f"{item.sha256}\t{item.size}\t{name}\n" for name, item in sorted(self.files.items())]
        lines += [f"{_LINK}\t{target}\t{name}\n" for name, target in sorted(self.links.items())]
        new = path.with_suffix(".new")
        with new.open("w", encoding="utf-8", errors="surrogateescape") as file:
            file.writelines(lines)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)


def load(path: Path) -> Index:
    """A list that was saved. Raises BootsrvError when it is damaged, OSError."""
    index = Index()
    with path.open(encoding="utf-8", errors="surrogateescape", newline="\n") as file:
        for number, line in enumerate(file, 1):
            first, _, rest = line.rstrip("\n").partition("\t")
            second, tab, name = rest.partition("\t")
            if not tab or not name or (first != _LINK and not second.isdecimal()):
                raise BootsrvError(f"{path}: line {number} is damaged; import the tree again")
            if first == _LINK:
                index.links[name] = second
            else:
                index.files[name] = Item(int(second), first)
    return index


def _prefixes(name: str) -> list[str]:
    """`a`, `a/b`, `a/b/c`: the shortest first, as a walk would meet them."""
    parts = name.split("/")
    return ["/".join(parts[:count]) for count in range(1, len(parts) + 1)]
