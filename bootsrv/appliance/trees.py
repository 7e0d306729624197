"""The verbs on install trees: import, list, show, verify, remove."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bootsrv.appliance.errors import translated
from bootsrv.config import Config
from bootsrv.signing import archive_key
from bootsrv.trees.record import TreeRecord
from bootsrv.trees.shelf import Shelf
from images.progress import Progress, silent

if TYPE_CHECKING:
    from bootsrv.trees.shelf import Damage
    from bootsrv.trees.updates import Updates


class Trees:
    """Verbs on trees."""

    def __init__(self, config: Config, clock: Callable[[], float]) -> None:
        self.shelf = Shelf(config.trees_dir)
        self._config, self._clock = config, clock

    def readable(self) -> tuple[list[TreeRecord], list[str]]:
        """Every tree that can be listed, and what is wrong with the others."""
        return self.shelf.records()

    def show(self, name: str) -> TreeRecord:
        """One tree. Raises NotFound."""
        return self.shelf.get(name)

    def import_(
        self, source: str, name: str, replace: bool = False, progress: Progress = silent
    ) -> TreeRecord:
        """An ISO, a directory or `debian-12` as the tree `name`. Raises Invalid, Conflict, BootsrvError."""
        from bootsrv.trees.importing import import_tree

        with translated():
            return import_tree(self.shelf, source, name, replace, progress, self._clock)

    def verify(self, name: str, progress: Progress = silent) -> Iterator[Damage]:
        """Read every file of it; yields what is not as it was imported. Raises NotFound."""
        return self.shelf.verify(name, progress)

    def update(
        self, name: str, given: Sequence[Path], replace: bool = False, progress: Progress = silent
    ) -> Updates:
        """Put updated packages beside a tree. Raises NotFound, Invalid, BootsrvError."""
        from bootsrv.trees.updates import add

        return add(self.shelf, name, given, archive_key(self._config), replace, progress)

    def updates(self, name: str) -> Updates | None:
        """The updated packages of a tree; None: it has none. Raises NotFound."""
        from bootsrv.trees.updates import found

        return found(self.shelf, name)

    def clear_updates(self, name: str) -> None:
        """Take them away. Raises NotFound."""
        from bootsrv.trees.updates import clear

        clear(self.shelf, name)

    def remove(self, name: str) -> TreeRecord:
        """Take it away. Raises NotFound."""
        return self.shelf.remove(name)
