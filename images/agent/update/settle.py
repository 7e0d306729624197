"""The life of a switch on this machine: armed, done, waiting to be confirmed, settled or taken back.

    switch   the journal is being carried out            wait    done; what was replaced is kept until
    confirmed back     the journal is being undone                 settle  what was replaced is being removed

`recover` brings any of them to its end and may itself be broken off. The unit that `arm` installs calls it at
the next boot, so that a power cut in the middle of a switch needs nobody. Python 3.8, standard library only.
"""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any, Dict

from images.agent.rootfs import Root
from images.agent.update import bootmenu, initrds, journal, services, unit
from images.agent.update.exchange import sync_filesystem
from images.agent.update.folders import Folders
from images.agent.update.stage import Stage
from images.agent.update.state import HOME, State, sync_folder, write_whole
from images.errors import ImageError
from images.manifest import to_bytes

HOME_CONF = "/etc/bootsrv/home.conf"
NOTHING = "there is no update to complete or to take back"
WRITTEN = (b"", b"boot", HOME.encode())  # where a new version is made known, besides its files
SWITCH, WAIT, BACK, SETTLE = "switch", "wait", "back", "settle"


class Settling:
    """Acts on the journal in `state`, if there is one."""

    def __init__(self, root: Path, tree: Folders, state: State) -> None:
        self._root, self._tree, self._state = root, tree, state

    def phase(self) -> str:
        """Where the switch is; "" when there is none."""
        if not self._state.journal.exists():
            return ""
        try:
            return self._state.phase.read_text().strip() or SWITCH
        except FileNotFoundError:
            return SWITCH

    def about(self) -> Dict[str, Any]:
        """What the journal says about its update; {} when there is none."""
        return journal.head(self._state.journal) or {}

    def arm(self) -> None:
        """From now on a boot completes what it finds begun."""
        self._state.phase.unlink(missing_ok=True)
        unit.install(self._root, self._state.home)

    def switch(self) -> Dict[str, Any]:
        """Carries the journal out; what the new version needs now. An error undoes it and is raised, until
        what was replaced begins to go: from then on there is no way back, and the next run ends it.
        """
        made = self._journal()
        try:
            unit.start(self._root)  # before anything changes: it works even if the new version does not
            journal.forward(self._tree, made)
            needs = self._arrived(made)
        except Exception:  # whatever it is, such as a program that takes too long
            self.back()
            raise
        self._end(made)
        return needs

    def recover(self) -> str:
        """Completes what was broken off, whatever it was; a few words on it, "" when there was nothing. A
        version that waits for its confirmation is taken for confirmed: somebody asks for the next one.
        """
        phase = self.phase()
        if phase == SWITCH:
            made = self._journal()
            try:
                journal.forward(self._tree, made)
                self._arrived(made)
            except ImageError:  # the version cannot be completed, and will not be at the next try
                self.back()
                raise
            self._end(made)
            return f"completed the switch to {made.about['ref']}"
        if phase == BACK:
            self.back()
            return "completed the return"
        if phase:
            self.settle()
        return ""

    def back(self) -> None:
        """Returns to what was there before, and forgets the update."""
        made = self._journal()
        write_whole(self._state.phase, BACK.encode())
        journal.back(self._tree, made)
        self._state.retreat()
        self._name(str(made.about.get("old_ref") or ""))
        bootmenu.renew(self._root)
        self.settle()

    def settle(self) -> None:
        """What is kept of the other version goes away."""
        about = self.about()
        if not about:
            raise ImageError(NOTHING)
        write_whole(self._state.phase, SETTLE.encode())
        stage = Stage(self._tree)
        for place in about["places"]:
            stage.clear(to_bytes(place))
        self._tree.forget()
        for path in (self._state.journal, self._state.phase, self._state.previous, self._state.fetched_base):
            path.unlink(missing_ok=True)
        unit.remove(self._root)
        sync_folder(self._state.home)

    def _arrived(self, made: journal.Journal) -> Dict[str, Any]:
        """All names are switched: the machine is the new version."""
        self._state.advance()
        self._name(str(made.about["ref"]))
        initrds.complete(self._root)
        kernel = bootmenu.renew(self._root, str(made.about["ref"]))
        changed = [step.path for step in made.steps if step.kind == "put"]
        needs = services.needs(self._root, changed, made.about["places"])
        self._force()
        if made.about.get("confirm"):
            write_whole(self._state.phase, WAIT.encode())
        return {"kernel": kernel, **needs}

    def _end(self, made: journal.Journal) -> None:
        """What was replaced goes, unless somebody has to confirm first."""
        if not made.about.get("confirm"):
            self.settle()

    def _force(self) -> None:
        """All of that is on disk before the journal goes. Not every disk: what others write is not ours to
        wait for.
        """
        for folder in WRITTEN:
            info = self._tree.stat(folder)
            if info is not None and stat.S_ISDIR(info.st_mode):
                sync_filesystem(self._tree.open(folder))

    def _journal(self) -> journal.Journal:
        found = journal.read(self._state.journal)
        if found is None:
            raise ImageError(NOTHING)
        return found

    def _name(self, ref: str) -> None:
        """What the machine says it is when it calls home."""
        root = Root(self._root)
        try:
            text = root.read_text(HOME_CONF)
            lines = [f"image={ref}" if line.startswith("image=") else line for line in text.splitlines()]
            if text and ref:
                root.write(HOME_CONF, "\n".join(lines) + "\n", 0o600)
        finally:
            root.close()


def current_ref(root: Path) -> str:
    """The version this machine says it is; "" when it never was told."""
    inside = Root(root)
    try:
        text = inside.read_text(HOME_CONF)
    finally:
        inside.close()
    return next((line[6:] for line in text.splitlines() if line.startswith("image=")), "")
