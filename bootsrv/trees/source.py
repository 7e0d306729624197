"""Trees as they are asked for: by HTTP below /tree/, by TFTP as `tree/NAME/...`
(`pxe.catalogue.Generated`)."""

from __future__ import annotations

from pathlib import Path

from bootsrv.trees.shelf import Shelf
from pxe.catalogue import Entry, entry_of

PREFIX = "tree/"


class TreeSource:
    """Looks names up in the lists of trees."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf

    def entry(self, tree: str, name: str) -> Entry | None:
        """The file of a tree; `name` is normalised."""
        found = self._shelf.find(tree, name)
        return None if found is None else entry_of(found[0], found[1])

    def find(self, name: str, peer: str) -> bytes | Path | None:
        """For PXELINUX and GRUB, which load kernels by TFTP."""
        if not name.startswith(PREFIX):
            return None
        tree, _, file = name[len(PREFIX) :].partition("/")
        found = self._shelf.find(tree, file)
        return None if found is None else found[0]
