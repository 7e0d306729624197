"""The verbs on images: thin calls of the store, with its errors said in the house's words.

The store is opened at the first verb that needs it: most commands never do.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from bootsrv import storedesk
from bootsrv.appliance.errors import translated
from bootsrv.config import Config
from bootsrv.errors import BootsrvError, Conflict, Invalid, NotFound
from bootsrv.model import BootMode, Node, NodeState
from bootsrv.registry.registry import Registry
from images.errors import BadInput, ImageNotFound
from images.progress import Progress, silent
from images.versions import Version

if TYPE_CHECKING:
    from images.changes.report import Report
    from images.gc import GcReport
    from images.importing.recipe import Recipe
    from images.problem import Problem
    from images.store import ImageStore
    from images.tree_writer import Written


GRACE = 3600.0  # seconds between marking what nobody needs and deleting it


class Images:
    """Verbs on images."""

    def __init__(self, config: Config, registry: Registry, keeps_store: bool = False) -> None:
        """`keeps_store`: this process is the one that others ask to write there (storedesk.py)."""
        self._config, self._registry, self._keeps_store = config, registry, keeps_store
        self._store: ImageStore | None = None
        # Versions, by id, that were looked at: for disks, and for roots over the network.
        self._bootable: set[str] = set()
        self._rootable: set[str] = set()
        self._lock = threading.Lock()

    def store(self) -> ImageStore:
        """The store itself, made if there is none. Raises OSError."""
        from images.store import ImageStore

        with self._lock, translated():
            if self._store is None:
                self._store = ImageStore.open(self._config.store_dir, keys=self._config.data_dir / "keys")
            return self._store

    def list(self, name: str | None = None) -> Sequence[Version]:
        """Every version, or every version of one image. Raises BootsrvError when a list is damaged."""
        with translated():
            return self.store().versions(name)

    def readable(self) -> tuple[Sequence[Version], Sequence[str]]:
        """Every version that can be listed, and what is wrong with the lists of the other images.
        Raises OSError."""
        found: list[Version] = []
        wrong: list[str] = []
        for name in self.store().names():
            try:
                found += self.list(name)
            except NotFound:
                continue  # removed in this moment
            except BootsrvError as error:
                wrong.append(str(error))
        wrong += [f"{text}; `bootsrv image verify --repair` rebuilds it" for text in self.store().lost()]
        return found, wrong

    def resolve(self, ref: str) -> Version:
        """NAME, NAME@NUMBER or NAME@TAG to its version. Raises NotFound, Invalid."""
        with translated():
            return self.store().resolve(ref)

    def bootable(self, ref: str) -> Version:
        """The same, for one that is to be written to a disk and booted from it. Raises Invalid when it has
        no kernel: after the imaging would be too late to find out."""
        from images.bootable import has_kernel

        version = self.resolve(ref)
        if version.kind == "tree" and version.id not in self._bootable:
            with translated():
                found = has_kernel(self.store().manifest(version.id).entries())
            if not found:
                raise Invalid(
                    f"image {version.ref} has no kernel in /boot, so no disk can boot it: put one in "
                    "(in Debian the package linux-image-amd64) and import it again"
                )
            self._bootable.add(version.id)
        return version

    def rootable(self, ref: str) -> Version:
        """The same, for one that is to be the root of a machine without a disk. Raises Invalid for a disk,
        and when no kernel has its modules in it."""
        from images.netroot import kernel
        from images.netroot.treefiles import files_below

        version = self.resolve(ref)
        if version.kind != "tree":
            raise Invalid(f"{version.ref} is a {version.kind} image: it can only be put on a disk")
        if version.id not in self._rootable:
            with translated():
                entries = self.store().manifest(version.id).entries()
                names = [name for name, _ in files_below(entries, kernel.FOLDERS)]
            try:
                kernel.find(names)
            except BadInput as error:
                raise Invalid(f"image {version.ref}: {error}") from error
            self._rootable.add(version.id)
        return version

    def look_ahead(self, refs: Iterable[str | None]) -> None:
        """Read what `rootable` goes by, before the registry is locked: of 200,000 names that takes seconds,
        and machines that boot wait for the lock. What is wrong with an image is for the verb to tell.
        """
        for ref in {ref for ref in refs if ref}:
            with suppress(BootsrvError):
                self.rootable(ref)

    def recipes(self) -> Sequence[Recipe]:
        """The recipes that come with the program, by name."""
        from images.importing.recipe import load, names

        with translated():
            return [load(name) for name in names()]

    def import_recipe(
        self, name: str, recipe: str, comment: str = "", progress: Progress = silent,
        untouched: Sequence[str] = (),
    ) -> Version:  # fmt: skip
        """Build a recipe (by name, or a file of one's own) as the next version of `name`. `untouched` as in
        `import_source`. Needs root; minutes.
        """
        from images.importing.recipe_build import import_recipe

        wanted: str | Path = Path(recipe) if "/" in recipe or recipe.endswith(".toml") else recipe
        with translated():
            meta = self._lists(name, untouched)
            return import_recipe(self.store(), name, wanted, comment, meta, progress)

    def import_source(
        self,
        name: str,
        source: Path,
        comment: str = "",
        excludes: Sequence[str] = (),
        progress: Progress = silent,
        disk: bool = False,
        untouched: Sequence[str] = (),
        everything: bool = False,
    ) -> Version:
        """A directory, an archive, a container image, a squashfs, an ISO or a disk as the next version of
        `name`.

        `excludes` (for directories) are added to what is left out of one by default, /proc, /sys and so on;
        `everything`: nothing is, unless `excludes` names it.
        `disk`: it is a disk, whatever it looks like. `untouched`: patterns that pushes to machines with this
        image leave alone; those of the version before stay.
        """
        from images.importing.auto import excludes_nothing, import_image
        from images.importing.from_disk import import_disk
        from images.tree_reader import EXCLUDES

        with translated():
            if disk and excludes:
                raise excludes_nothing(source, name)
            if disk:
                return import_disk(self.store(), name, source, comment, progress=progress)
            return import_image(
                self.store(), name, source, comment, self._lists(name, untouched),
                excludes=(*(() if everything else EXCLUDES), *excludes), progress=progress,
            )  # fmt: skip

    def _lists(self, name: str, untouched: Sequence[str]) -> Mapping[str, Sequence[str]]:
        """What travels with an image from version to version, as meta."""
        from images.patterns import check_patterns

        try:
            before = self.store().resolve(name).meta.get("update_excludes") or ()
        except ImageNotFound:
            before = ()
        check_patterns(untouched)
        patterns = [*dict.fromkeys([*map(str, before), *untouched])]
        return {"update_excludes": patterns} if patterns else {}

    def tag(self, ref: str, tag: str) -> Version:
        """Point NAME@TAG at a version."""
        if not self._may_write():
            storedesk.ask(self._config.run_dir, "tag", ref=ref, tag=tag)
            return self.resolve(f"{ref.partition('@')[0]}@{tag}")
        with translated():
            return self.store().tag(ref, tag)

    def untag(self, name: str, tag: str) -> None:
        """Take a tag away."""
        if not self._may_write():
            storedesk.ask(self._config.run_dir, "untag", ref=name, tag=tag)
            return
        with translated():
            self.store().untag(name, tag)

    def _may_write(self) -> bool:
        """Whether this process may write to the store; the web process may not, and asks who does."""
        return self._keeps_store or storedesk.ours(self.store().names_dir)

    def export(
        self, ref: str, target: Path, form: str | None = None, progress: Progress = silent,
        layout: str | None = None, size: str | None = None,
    ) -> tuple[str, Written]:  # fmt: skip
        """Write a version to a file or directory; `form` as in images/exporting/formats.py. Returns it.

        A tree as raw or qcow2 gets the layout of that name, else the image's; `size` such as "8G". Raises
        Invalid where these mean nothing.
        """
        from bootsrv.exported import machine
        from images.exporting.formats import DISKS, export_image, form_of

        with translated():
            version = self.store().resolve(ref)
            chosen = form_of(target, form)
            if (layout or size) and (version.kind != "tree" or chosen not in DISKS):
                what = f"as {chosen}" if version.kind == "tree" else f"({version.kind} image)"
                why = "--layout and --size are for files that become raw or qcow2"
                raise Invalid(f"{why}; this is {version.ref} {what}")
            shape = machine(version, self._config, layout, size) if version.kind == "tree" else None
            return export_image(self.store(), ref, target, form, progress, shape)

    def diff(self, old: str, new: str) -> Report:
        """What changed from one version to another: files, packages, services, kernel."""
        from images.changes.report import compare

        with translated():
            return compare(self.store(), old, new)

    def edit(
        self, ref: str, command: Sequence[str], comment: str = "", progress: Progress = silent
    ) -> Version | None:
        """Run a command in a private copy and publish what became of it; None: nothing changed."""
        from images.editing.edit import edit_image

        with translated():
            return edit_image(self.store(), ref, command, comment, progress)

    def put_agent(self, ref: str, comment: str = "", progress: Progress = silent) -> Version | None:
        """The agent service as part of the image's next version; None: it has today's already."""
        from images.editing.agent import with_agent

        with translated():
            return with_agent(self.store(), ref, comment, progress)

    def users_of(self) -> dict[str, set[str]]:
        """NAME@NUMBER to the nodes that pin it: they run it, will be imaged with it, or name it as theirs."""
        pinned: dict[str, set[str]] = {}
        for node in self._registry.nodes.list():
            refs = {node.running, node.armed.image if node.armed else None, self._named(node.image)}
            refs |= self._roots(node)
            for ref in refs - {None}:
                pinned.setdefault(str(ref), set()).add(node.name or node.macs[0])
        return pinned

    def _roots(self, node: Node) -> set[str | None]:
        """What a diskless node has as its root now, and what it gets at its next boot."""
        found: set[str | None] = {node.rooted.image if node.rooted is not None else None}
        if node.boots is BootMode.DISKLESS and node.image is not None:
            try:
                found.add(self.resolve(node.image).ref)
            except NotFound:
                pass
        return found

    def _named(self, ref: str | None) -> str | None:
        """What a node's own image is now; plain NAME follows the newest, so it pins none."""
        if ref is None or "@" not in ref:
            return None
        try:
            return self.resolve(ref).ref
        except NotFound:
            return None

    def remove(self, ref: str) -> Version:
        """Remove one version; its room comes back with `gc`. Raises Conflict while a node uses it."""
        version = self.resolve(ref)
        armed = [n.name for n in self._registry.nodes.list() if n.armed and n.armed.image == version.ref]
        if armed:
            raise Conflict(f"{version.ref} is what {', '.join(map(str, armed[:5]))} will be imaged with")
        users = sorted(self.users_of().get(version.ref, ()))
        if users:
            raise Conflict(f"{version.ref} is in use by {', '.join(users[:5])}{' ...' * (len(users) > 5)}")
        if not self._may_write():
            storedesk.ask(self._config.run_dir, "remove", ref=version.ref)
            return version
        with translated():
            return self.store().remove(ref)

    def prune(self, name: str | None, keep: int, dry_run: bool = False) -> Sequence[Version]:
        """Remove versions that are older than the newest `keep` of their image, have no tag and are used by
        no node; returns them. Raises Invalid, NotFound.
        """
        if keep < 1:
            raise Invalid("keep at least one version")
        pinned = self.users_of()
        by_name: dict[str, list[Version]] = {}
        for version in self.list(name):
            by_name.setdefault(version.name, []).append(version)
        gone = [
            version
            for versions in by_name.values()
            for version in sorted(versions, key=lambda one: one.number)[:-keep]
            if not version.tags and version.ref not in pinned
        ]
        for version in () if dry_run else gone:
            with translated():
                self.store().remove(version.ref)
        return gone

    def gc(self, progress: Progress = silent) -> GcReport:
        """Give back the room of what no version uses; not while a node is imaged, since that one may take
        longer than the grace that what is marked gets.
        """
        imaging = any(node.state is NodeState.IMAGING for node in self._registry.nodes.list())
        with translated():
            return self.store().gc(progress, math.inf if imaging else GRACE)

    def verify(self, progress: Progress = silent, repair: bool = False) -> Iterator[Problem]:
        """Check every byte of the store; yields what is wrong and what to do about it."""
        with translated():
            yield from self.store().verify(progress, repair)
