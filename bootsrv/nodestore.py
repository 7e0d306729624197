"""The store as nodes see it: without patches (images/plain.py makes copies of those, when a node first asks).

Law: a node gets only packs that its version's chunks are in. Where copies cannot be made, or take too long,
it gets the store's own locator, and patches with what they start from. Copies are checked before a node that
begins gets them, unless that was done in the last minutes: one damaged is replaced, not served for ever.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from bootsrv.config import Config
from images import plain
from images.locator import Locator
from images.pack import SUFFIX
from images.store import ImageStore
from pxe.http.ports import Wait

log = logging.getLogger(__name__)
PATIENCE = 45.0  # seconds that a node waits for copies
AGAIN = 600.0  # seconds after a failure
CHECKED = 600.0  # seconds that a check of copies counts
_LOOK, _TOUCH, _TIDY = 0.3, 60.0, 3600.0


def plain_dir(config: Config) -> Path:
    """Where copies are kept."""
    return config.data_dir / "plain"


@dataclass(slots=True)
class _View:
    """Of a version: the store's locator and its stat; whether that has patches; packs nodes may fetch, those
    that earlier locators named among them; when its copies were last checked and last used.
    """

    own: Path
    stat: os.stat_result
    patched: bool
    packs: set[str]
    copies: set[str] = field(default_factory=set)
    checked: float | None = None
    used: float | None = None


@dataclass(slots=True)
class _Job:
    process: subprocess.Popen[bytes]
    began: float
    failed: float | None = None


class NodeStore:
    """Belongs to one thread."""

    def __init__(
        self, store: Callable[[], ImageStore], folder: Path, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._store, self._folder, self._clock = store, folder, clock
        self._views: dict[str, _View] = {}  # by the version's manifest id
        self._jobs: dict[str, _Job] = {}
        self._tidied: float | None = None

    def locator(self, version: str) -> Path | Wait:
        """For the version with that manifest id. Raises ImageError, OSError."""
        view, now = self._look(version), self._clock()
        if self._tidied is None or now - self._tidied > _TIDY:
            self._tidied = now
            with suppress(OSError):  # it is tried again; a folder that is none is told when it is used
                plain.tidy(self._folder, time.time())
        if not view.patched:
            return view.own
        made = plain.locator_file(self._folder / version, view.stat)
        sure = view.checked is not None and now - view.checked <= CHECKED and made.is_file()
        if not sure and self._goes_on(version, view):
            return Wait(_LOOK)
        return self._used(version, view, made) if made.is_file() else view.own

    def pack(self, version: str, id: str) -> Path | None:
        """A pack that nodes fetch that version from; None: it is none of those, or it is gone."""
        view = self._views.get(version)
        if view is None or (id not in view.copies and id not in view.packs):
            view = self._look(version)
            view.copies = {path.stem for path in (self._folder / version).glob("*" + SUFFIX)}
        if id in view.copies:
            copy = self._folder / version / (id + SUFFIX)
            return self._used(version, view, copy) if copy.is_file() else None
        return self._store().pack_path(id) if id in view.packs else None

    def _used(self, version: str, view: _View, path: Path) -> Path:
        """Note that somebody needs the copies."""
        now = self._clock()
        if view.used is None or now - view.used > _TOUCH:
            view.used = now
            with suppress(FileNotFoundError):
                os.utime(self._folder / version)
        return path

    def _look(self, version: str) -> _View:
        store, known = self._store(), self._views.get(version)
        own = store.locator_path(version)
        if own is None:
            store.rebuild_locator(version)
            own = store.locators / version
        stat = own.stat()
        if known is not None and plain.stamp(known.stat) == plain.stamp(stat):
            return known
        locator = Locator.parse(own.read_bytes())
        view = _View(own, stat, locator.patched, set(locator.packs) | (known.packs if known else set()))
        self._views[version] = view
        return view

    def _goes_on(self, version: str, view: _View) -> bool:
        """Whether copies are being made or checked and are worth waiting for; begins if nobody has."""
        job, now = self._jobs.get(version), self._clock()
        if job is None or (job.failed is not None and now - job.failed > AGAIN):
            self._jobs[version] = _Job(self._begun(version), now)
            return True
        if job.failed is not None:
            return False
        if job.process.poll() is None:
            return now - job.began < PATIENCE
        said = job.process.communicate()[1]
        if job.process.returncode:
            text = said.decode("utf-8", "replace").strip()[-300:]
            log.error("version %s: copies for nodes cannot be made: %s", version[:12], text)
            job.failed = now
        else:
            del self._jobs[version]
            view.checked, view.copies = now, set()
        return False

    def _begun(self, version: str) -> subprocess.Popen[bytes]:
        command = ["setpriv", "--pdeathsig", "KILL", "--", "nice", "-n", "5", sys.executable]
        command += ["-m", "images.plain", str(self._store().root), version, str(self._folder)]
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
