"""One update of this machine, from the task to the report; and its comparison alone, for the drift report.

    recover    a switch that was broken off is completed first
    glance     whether nothing has happened since this machine was found to be that version
    change     what differs, and becomes equal (change.py)

Most pushes find nothing to do, and that should take no longer than to look: what only a change needs is
imported then. Python 3.8, standard library only.
"""

from __future__ import annotations

import contextlib
import fcntl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, Optional

from images.agent.rootfs import Root
from images.agent.update import overlay
from images.agent.update.folders import Folders
from images.agent.update.initrds import own_part
from images.agent.update.state import State, unchanged
from images.agent.update.task import Say, Task
from images.errors import BadInput

if TYPE_CHECKING:
    from images.agent.client import Client
    from images.agent.update.change import Change

NOTHING = {"made": 0, "attributes": 0, "removed": 0, "fetched": 0, "drift": 0}


class Update:
    """`root` is the machine's /. `run` and `drift` are the commands."""

    def __init__(self, root: Path, task: Task, say: Say, client: Optional[Client] = None) -> None:
        """`client`: who fetches, if not one for the task."""
        self.root, self.task, self._say, self._client = root, task, say, client
        self.state = State(root)
        self._tree = Folders(root)
        self._began = time.monotonic()

    def drift(self) -> Dict[str, Any]:
        """What differs from the wanted version; nothing is changed."""
        with self._alone():
            self._recover()
            return {"step": "drift", **self._change(*self._own()).drift()}

    def run(self) -> Dict[str, Any]:
        """Becomes the wanted version; the report. Raises ImageError, OSError: then nothing has changed, or
        the report of the next run says what was completed.
        """
        with self._alone():
            completed = self._recover()
            made, lists = self._own()
            done = {} if self._is_already(lists) else self._change(made, lists).run()
        return {
            **NOTHING, "left": [], **done, "step": "done", "ref": self.task.ref, "completed": completed,
            "seconds": round(time.monotonic() - self._began, 2),
        }  # fmt: skip

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        self.state.prepare()
        with (self.state.home / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise BadInput("another update of this machine is under way") from None
            try:
                yield
            finally:
                self._tree.close()

    def _recover(self) -> str:
        if not self.state.journal.exists():
            return ""
        from images.agent.update.settle import Settling

        completed = Settling(self.root, self._tree, self.state).recover()
        if completed:
            self._say({"step": "recovered", "text": completed})
        return completed

    def _own(self) -> tuple[overlay.Overlay, bytes]:
        """The machine's overrides; what changes when these do, or its lists."""
        root = Root(self.root)
        try:
            made = overlay.overrides(self.root)
            return made, overlay.fingerprint(overlay.own_patterns(root), made, own_part(root))
        finally:
            root.close()

    def _is_already(self, lists: bytes) -> bool:
        """Nothing has happened since the machine was found to be that version: seen without its manifest."""
        if self.task.checksum:
            return False
        cache = self.state.load_cache()
        same = cache.whole and (cache.id, cache.lists) == (self.task.manifest, lists)
        return same and unchanged(self._tree, cache.known)

    def _change(self, made: overlay.Overlay, lists: bytes) -> Change:
        from images.agent.update.change import Change

        return Change(
            self.root, self.task, self._say, self.state, self._tree, made, lists, self._client
        )
