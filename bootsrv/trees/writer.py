"""Writes a tree's files, whatever names a medium has for them.

The law: nothing leaves the tree. Names with `..`, absolute ones and control characters are refused; devices
are left out; links are made last and only where they lead to a place inside, so that no file is ever
written through one. Hashes are taken while the bytes go by.
"""

from __future__ import annotations

import hashlib
import os
import posixpath
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO

from bootsrv.errors import Invalid
from bootsrv.trees.index import Index, Item
from pxe.trees.sums import KINDS, Sum

_PIECE = 1 << 20
_LONGEST = 1024  # of a name

Read = Callable[[int], None]


def clean(name: str) -> str:
    """A medium's name as ours: relative and normal. Raises Invalid for one that leads out of the tree."""
    plain = name.removeprefix("./").rstrip("/")
    if plain in ("", "."):
        return ""
    parts = plain.split("/")
    if plain.startswith("/") or ".." in parts or len(plain) > _LONGEST:
        raise Invalid(
            f"the medium has a file named {name[:200]!r}, which leads out of the tree: not imported"
        )
    if any(ord(letter) < 32 or ord(letter) == 127 for letter in plain):
        raise Invalid(f"the medium has a file named {name[:200]!r}: control characters are not imported")
    return "/".join(part for part in parts if part not in ("", "."))


class TreeWriter:
    """Fills `root`, an empty directory. `expected`: by name, what the medium says a file hashes to."""

    def __init__(self, root: Path, expected: Mapping[str, Sum], read: Read = lambda count: None) -> None:
        self.index = Index()
        self.wrong: list[str] = []  # files that are not what the medium's own list says
        self.checked = 0
        self.left_out: list[str] = []
        self._root, self._expected, self._read = root, expected, read
        self._links: dict[str, str] = {}
        self._made: set[str] = set()

    def directory(self, name: str) -> None:
        """A directory, also an empty one."""
        self._folder(clean(name))

    def file(self, name: str, source: IO[bytes]) -> None:
        """A file's bytes, to their end. Raises Invalid for a bad name or one that was there."""
        name = clean(name)
        if not name or name in self.index.files or name in self._links:
            raise Invalid(f"the medium has {name!r} twice")
        self._folder(posixpath.dirname(name))
        expected = self._expected.get(name)
        ours, theirs = hashlib.sha256(), None
        if expected is not None and expected.kind in KINDS:
            theirs = hashlib.new(expected.kind, usedforsecurity=False)
        size = 0
        try:
            with (self._root / name).open("xb") as out:
                while piece := source.read(_PIECE):
                    ours.update(piece)
                    if theirs is not None:
                        theirs.update(piece)
                    out.write(piece)
                    size += len(piece)
                    self._read(len(piece))
        except (FileExistsError, IsADirectoryError) as error:
            raise Invalid(f"the medium has {name!r} as a file and as a directory") from error
        (self._root / name).chmod(0o644)
        self.index.files[name] = Item(size, ours.hexdigest())
        if expected is not None and theirs is not None:
            self.checked += 1
            if theirs.hexdigest() != expected.digest:
                self.wrong.append(name)

    def link(self, name: str, target: str) -> None:
        """A link; `target` as the medium has it, relative to where the link lies."""
        name = clean(name)
        aim = posixpath.normpath(posixpath.join(posixpath.dirname(name), target))
        if target.startswith("/") or aim.startswith("../") or aim == ".." or not target or "\0" in target:
            self.left_out.append(name)
            return
        self._links[name] = "" if aim == "." else clean(aim)

    def special(self, name: str) -> None:
        """A device, a socket, a pipe: no installer reads one from its server."""
        self.left_out.append(clean(name))

    def finish(self) -> Index:
        """Make the links, and give the list. Links to nothing are left out."""
        for name, target in sorted(self._links.items()):
            if name in self.index.files or name in self._made:
                raise Invalid(f"the medium has {name!r} twice")
            self._folder(posixpath.dirname(name))
            relative = posixpath.relpath(target or ".", posixpath.dirname(name) or ".")
            (self._root / name).symlink_to(relative)
        self.index.links = {name: self._links[name] for name in self._links if self._leads(name)}
        for name in self._links.keys() - self.index.links.keys():
            (self._root / name).unlink()
            self.left_out.append(name)
        return self.index

    def _leads(self, name: str) -> bool:
        try:
            real = os.path.realpath(self._root / name, strict=True)
        except OSError:
            return False
        root = os.path.realpath(self._root)
        return real == root or real.startswith(root + "/")

    def _folder(self, name: str) -> None:
        if not name or name in self._made:
            return
        self._folder(posixpath.dirname(name))
        if name in self._links:
            raise Invalid(f"the medium has {name!r} as a link and as a directory")
        try:
            (self._root / name).mkdir(mode=0o755, exist_ok=True)
        except FileExistsError as error:
            raise Invalid(f"the medium has {name!r} as a file and as a directory") from error
        (self._root / name).chmod(0o755)
        self._made.add(name)
