"""How an update of this machine goes on when something may differ; run.py is its beginning and its end.

    compare    what differs
    stage      all new files, whole and checked, beside their places
    switch     journal, then name by name
    settle     what was replaced goes away, at once or when the new version has been confirmed

Law: until the journal is on disk nothing has changed; from then on the switch is completed, by this run, by
the next, or by the machine's next boot. Python 3.8, standard library only.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping
from itertools import chain, islice
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Tuple

from images.agent.client import Client
from images.agent.rootfs import Root
from images.agent.update import initrds, overlay
from images.agent.update.compare import Compare, Difference
from images.agent.update.folders import Folders
from images.agent.update.journal import write
from images.agent.update.lines import Lines, path_of
from images.agent.update.lists import matcher
from images.agent.update.patching import PatchSet
from images.agent.update.resume import BOOT_ID, failed_units
from images.agent.update.seeds import Seeds
from images.agent.update.settle import Settling, current_ref
from images.agent.update.stage import Stage
from images.agent.update.state import Cache, Known, State
from images.agent.update.steps import adjustments, moves
from images.agent.update.supply import Supply
from images.agent.update.task import Say, Task
from images.agent.update.version import Store
from images.ahead import ahead
from images.errors import BadInput
from images.manifest import Entry, line_start, parse_entry
from images.patterns import Idle
from images.sealed import SealedManifest, ids_of

LISTED = 10_000  # names in one drift report
SHADOW_LINES = tuple(line_start(path) for path in overlay.SHADOWS)
GIVE_UP = 60.0  # seconds without the server, while nothing has been changed yet


class Change:
    """`root` is the machine's /, `tree` the same. `made`, `lists`: its overrides, and what tells them and its
    lists apart. `client`: who fetches; one for the task where there is none.
    """

    def __init__(
        self, root: Path, task: Task, say: Say, state: State, tree: Folders, made: overlay.Overlay,
        lists: bytes, client: Optional[Client] = None,
    ) -> None:  # fmt: skip
        self.root, self.task, self._say, self.state, self._tree = root, task, say, state, tree
        self._made, self._lists = made, lists
        self._client = client if client is not None else Client(
            task.url, task.token, lambda text: say({"step": "wait", "text": text}), GIVE_UP, task.certificate
        )
        self._store = Store(task, state, self._client)
        self._taken = 0
        self._written: Dict[bytes, int] = {}  # inodes of what was staged, by the path it goes to

    def drift(self) -> Dict[str, Any]:
        """What differs from the wanted version; nothing is changed."""
        manifest = self._store.wanted()
        over = self._overlay(manifest, self._made)
        found, _ = self._compare(manifest, {}, over, self.state.load_cache().known)
        return {"drift": found.total, "files": _listed(found), "blocked": found.blocked}

    def run(self) -> Dict[str, Any]:
        """Becomes the wanted version; what of the report is ours. Raises ImageError, OSError: then nothing
        has changed, or the report of the next run says what was completed.
        """
        manifest = self._store.wanted()
        over = self._overlay(manifest, self._made)
        old = self._store.base()
        base = Lines(old.lines() if old is not None else (), self.state.home)
        source = self._store.source()
        self._share(over, base, manifest, source)
        with contextlib.ExitStack() as open_:
            reading = open_.enter_context(contextlib.closing(Folders(self.root)))  # another thread's
            patches = PatchSet(self._client, self.task.patches, reading, base)
            open_.enter_context(contextlib.closing(patches))
            patches.begin(manifest.lines(), self._excluded(over))
            found, dirs = self._compare(manifest, base, over, self.state.load_cache().known)
            if found.blocked:
                raise BadInput("; ".join(found.blocked[:5]))
            self._say({"step": "compared", "differ": found.total, "read": found.read})
            numbers: Dict[str, Any] = {**found.numbers(), "idle": self._idle.left}
            if not found.total:
                self._unchanged(manifest, found, over)
                return numbers
            settling = Settling(self.root, self._tree, self.state)
            settling.arm()
            about = self._stage_and_write(manifest, found, base, over, source, dirs, reading, patches)
        del source
        self._say({"step": "switch", **about})
        about.update(settling.switch())
        left = self._remember(over, found.known)
        return {**about, **numbers, "drift": left.total, "left": _listed(left)[:20]}

    # --- the parts

    def _overlay(self, manifest: SealedManifest, made: overlay.Overlay) -> overlay.Overlay:
        root = Root(self.root)
        try:
            self._patterns = overlay.patterns(root, manifest.header)
            self._idle = Idle(each.rstrip("/") or each for each in overlay.listed(root, manifest.header))
            self._patterns += initrds.lay_over(made, root, manifest.lines())
        finally:
            root.close()
        return made

    def _share(self, over: overlay.Overlay, base: Lines, manifest: SealedManifest, source: Any) -> None:
        lines = (line for line in manifest.lines() if line.startswith(SHADOW_LINES))
        shadows = {path_of(line): line for line in lines}
        root = Root(self.root)
        try:
            overlay.shared(over, root, base, shadows, source)
        finally:
            root.close()

    def _compare(
        self, manifest: SealedManifest, base: Mapping[bytes, bytes], over: overlay.Overlay, known: Known
    ) -> Tuple[Difference, Dict[bytes, bytes]]:
        """The difference, and the manifest lines of the version's directories."""
        self._taken = time.time_ns()
        dirs: Dict[bytes, bytes] = {}

        def lines() -> Iterator[bytes]:
            for line in overlay.laid_over(manifest.lines(), over.lines, path_of):
                if b'"type":"dir"' in line:
                    dirs[path_of(line)] = line
                yield line

        compare = Compare(
            self._tree, base, known, self._excluded(over), self.state.home, self.task.checksum, self._written
        )
        return compare.run(lines()), dirs

    def _excluded(self, over: overlay.Overlay) -> Callable[[bytes], bool]:
        return matcher([*self._patterns, *overlay.left_shadows(over)], self._idle.heard)

    def _stage_and_write(
        self,
        manifest: SealedManifest,
        found: Difference,
        base: Lines,
        over: overlay.Overlay,
        source: Any,
        dirs: Dict[bytes, bytes],
        reading: Folders,
        patches: PatchSet,
    ) -> Dict[str, Any]:
        """Up to the point where the journal is on disk; what the journal says about itself."""
        slow = patches.slow(found.fresh.paths())
        if slow:
            found.fresh.put_last(slow)
        patches.prepare(found.fresh.lines())
        seeds = _seeds(reading, found, base, patches)
        over.seed(seeds)
        seeds.learned()
        supply = Supply(found.fresh, seeds, source, patches)
        stage = Stage(self._tree)
        with contextlib.closing(ahead(supply.stream())) as chunks:
            staged = stage.make(found.fresh, chunks, self._progress)
        seeds.close()
        patches.close()
        base.clear()
        found.fresh.close()
        local, patched = seeds.read, supply.patched
        del supply, seeds, chunks  # of many names that is much, and the steps are next
        self._written = {one.path: one.inode for one in staged if one.type == "file"}
        made = moves(stage, found, staged)
        places = {step.folder for step in made if step.folder}
        for place in places:
            stage.ready(place)
        about: Dict[str, Any] = {
            "old_ref": current_ref(self.root), "boot_id": BOOT_ID.read_text().strip(),
            "failed": sorted(failed_units()) if self.task.confirm else [], "reboot": self.task.reboot,
            "ref": self.task.ref, "manifest": manifest.id, "confirm": self.task.confirm,
            "places": [place.decode("utf-8", "surrogateescape") for place in sorted(places)],
            "fetched": source.fetched + patches.fetched, "local": local, "patched": patched,
        }  # fmt: skip
        later = adjustments(self._tree, found, made, dirs)
        write(self.state.journal, about, chain(made, later))
        found.forget()
        return about

    def _progress(self, done: int, total: "int | None", what: str) -> None:
        self._say({"step": "fetch", "done": done, "total": total or 0, "what": what})

    def _unchanged(self, manifest: SealedManifest, found: Difference, over: overlay.Overlay) -> None:
        """Nothing to do, and next time that will be seen at a glance."""
        if manifest.path != self.state.manifest:
            self.state.keep_manifest(manifest.path)
        self.state.save_cache(Cache(manifest.id, self._lists, True, found.known), self._taken)

    def _remember(self, over: overlay.Overlay, known: Known) -> Difference:
        """Looks once more: that is the proof, and fills the cache for the next time. What was hashed on its
        way into a file is not read back: the file is that one, with its size and all attributes.
        """
        time.sleep(0.06)  # so that what was switched last is old enough to be trusted by its stamp
        manifest = self._store.wanted()
        found, _ = self._compare(manifest, {}, over, known)
        self.state.save_cache(Cache(manifest.id, self._lists, not found.total, found.known), self._taken)
        return found


def _seeds(tree: Folders, found: Difference, base: Lines, patches: PatchSet) -> Seeds:
    """Where on this machine the chunks lie that will be needed: in what is replaced, and of files that no
    patch makes in all the rest.
    """
    seeds = Seeds(tree, {id for line in found.fresh.lines() for id in ids_of(line)})
    changed = {*found.fresh.paths(), *found.gone}
    seeds.add_all(parse_entry(line) for path, line in base.items() if path in changed)
    unpatched = (line for line in found.fresh.lines() if path_of(line) not in patches)
    seeds.add_lines(base.values(), (id for line in unpatched for id in ids_of(line)))
    return seeds


def _listed(found: Difference) -> List[List[str]]:
    """Names that differ, with how: missing, content, attributes, extra."""
    made = zip(found.fresh.paths(), found.fresh.kinds())  # noqa: B905 - Python 3.8
    rows = [
        [Entry(path, "file").name, "missing" if missing else "content"]
        for path, missing in islice(made, LISTED)
    ]
    rows += [[entry.name, "attributes"] for entry in found.attributes]
    rows += [[Entry(path, "file").name, "extra"] for path in found.gone]
    return rows[:LISTED]
