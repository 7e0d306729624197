"""The verbs on images: thin calls of the store, with its errors said in the house's words.

The store is opened at the first verb that needs it: most commands never do.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bootsrv.appliance.errors import translated
from bootsrv.config import Config
from bootsrv.errors import Conflict
from bootsrv.registry.registry import Registry
from images.progress import Progress, silent
from images.versions import Version

if TYPE_CHECKING:
    from images.gc import GcReport
    from images.store import ImageStore
    from images.verify import Problem


class Images:
    """Verbs on images."""

    def __init__(self, config: Config, registry: Registry) -> None:
        self._config, self._registry = config, registry
        self._store: ImageStore | None = None
        self._lock = threading.Lock()

    def store(self) -> ImageStore:
        """The store itself, made if there is none. Raises OSError."""
        from images.store import ImageStore

        with self._lock, translated():
            if self._store is None:
                self._store = ImageStore.open(self._config.store_dir, keys=self._config.data_dir / "keys")
            return self._store

    def list(self, name: str | None = None) -> Sequence[Version]:
        """Every version, or every version of one image."""
        with translated():
            return self.store().versions(name)

    def resolve(self, ref: str) -> Version:
        """NAME, NAME@NUMBER or NAME@TAG to its version. Raises NotFound, Invalid."""
        with translated():
            return self.store().resolve(ref)

    def recipes(self) -> Sequence[str]:
        """The recipes that come with the program."""
        from images.importing.recipe import names

        return names()

    def import_recipe(
        self, name: str, recipe: str, comment: str = "", progress: Progress = silent
    ) -> Version:
        """Build a recipe (by name, or a file of one's own) as the next version of `name`. Needs root;
        minutes."""
        from images.importing.recipe_build import import_recipe

        wanted: str | Path = Path(recipe) if "/" in recipe or recipe.endswith(".toml") else recipe
        with translated():
            return import_recipe(self.store(), name, wanted, comment, progress=progress)

    def import_source(
        self,
        name: str,
        source: Path,
        comment: str = "",
        excludes: Sequence[str] = (),
        progress: Progress = silent,
    ) -> Version:
        """A directory, a tar of any compression, or a container image as the next version of `name`.

        `excludes` (for directories) are added to what is never imported: /proc, /sys, sockets and so on.
        """
        from images.importing.auto import import_image
        from images.tree_reader import EXCLUDES

        with translated():
            return import_image(
                self.store(), name, source, comment, excludes=(*EXCLUDES, *excludes), progress=progress
            )

    def tag(self, ref: str, tag: str) -> Version:
        """Point NAME@TAG at a version."""
        with translated():
            return self.store().tag(ref, tag)

    def untag(self, name: str, tag: str) -> None:
        """Take a tag away."""
        with translated():
            self.store().untag(name, tag)

    def remove(self, ref: str) -> Version:
        """Remove one version; its room comes back with `gc`. Raises Conflict while a node is armed for it."""
        version = self.resolve(ref)
        armed = [n.name for n in self._registry.nodes.list() if n.armed and n.armed.image == version.ref]
        if armed:
            raise Conflict(f"{version.ref} is what {', '.join(map(str, armed[:5]))} will be imaged with")
        with translated():
            return self.store().remove(ref)

    def gc(self, progress: Progress = silent) -> GcReport:
        """Give back the room of what no version uses."""
        with translated():
            return self.store().gc(progress)

    def verify(self, progress: Progress = silent, repair: bool = False) -> Iterator[Problem]:
        """Check every byte of the store; yields what is wrong and what to do about it."""
        with translated():
            yield from self.store().verify(progress, repair)
