"""The verbs on package archives: those that are cached, by configuration, and those that were filled here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bootsrv.appliance.errors import translated
from bootsrv.appliance.trees import Trees
from bootsrv.config import Config
from bootsrv.errors import Conflict, Invalid, NotFound
from bootsrv.mirrors.local import LocalMirror, LocalMirrors
from bootsrv.signing import archive_key
from images.progress import Progress, silent
from pxe.answers.targets import Dialect
from pxe.trees.kernel import HEAD, version


@dataclass(frozen=True, slots=True)
class Archive:
    """One archive as a list shows it. `filled`: one of our own; `upstreams`: of a cached one."""

    name: str
    upstreams: tuple[str, ...] = ()
    filled: LocalMirror | None = None

    @property
    def place(self) -> str:
        """Its path on our HTTP server."""
        return f"/mirror/{self.name}/"


class Mirrors:
    """Verbs on package archives."""

    def __init__(self, config: Config, trees: Trees, clock: Callable[[], float]) -> None:
        self._config, self._trees, self._clock = config, trees, clock
        self._local = LocalMirrors(config.mirrors_dir)

    def listing(self) -> list[Archive]:
        """All of them. Raises BootsrvError when the record of one is damaged."""
        cached = [Archive(name, one.upstreams) for name, one in self._config.mirrors.items()]
        own = [Archive(name, filled=self._local.get(name)) for name in self._local.names()]
        return sorted([*cached, *own], key=lambda one: one.name)

    def show(self, name: str) -> Archive:
        """One. Raises NotFound."""
        for one in self.listing():
            if one.name == name:
                return one
        raise NotFound(f"there is no package archive {name!r}; `bootsrv mirror list` shows what there is")

    def fill(
        self,
        name: str,
        suite: str,
        packages: Sequence[str],
        tree: str = "",
        progress: Progress = silent,
    ) -> LocalMirror:
        """Packages with all that they need as an archive of our own; `tree`: and what its installer needs.
        Raises Invalid, Conflict, BootsrvError."""
        from bootsrv.mirrors.fill import INSTALLED, Wanted, fill
        from bootsrv.trees.importing import check_name

        check_name(name, "mirror name")
        if name in self._config.mirrors:
            raise Conflict(f"{name!r} is a cached archive of the configuration; choose another name")
        kernel = self._kernel(tree) if tree else ""
        every = tuple(dict.fromkeys([*(INSTALLED if tree else ()), *packages]))
        with translated():
            wanted = Wanted(suite, every, tree, kernel)
            return fill(self._local, name, wanted, archive_key(self._config), progress, self._clock)

    def _kernel(self, tree: str) -> str:
        facts = self._trees.show(tree).facts
        if facts.installer.value != Dialect.PRESEED.value or facts.arch != "x86_64":
            raise Invalid(f"tree {tree} is no Debian installer for PCs, so no archive can be filled for it")
        with (self._trees.shelf.directory(tree) / facts.kernel).open("rb") as file:
            found = version(file.read(HEAD))
        if not found:
            raise Invalid(f"the kernel of tree {tree} does not say its version; import the tree again")
        return found

    def remove(self, name: str) -> LocalMirror:
        """Take one of our own away. Raises NotFound, Conflict for a cached one."""
        if name in self._config.mirrors:
            raise Conflict(f"{name!r} is a cached archive: take it out of the configuration instead")
        return self._local.remove(name)
