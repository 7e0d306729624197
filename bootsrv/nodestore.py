"""The store as nodes see it: without patches (images/plain.py makes copies of those, when a node first asks).

Law: a node gets only packs that its version's chunks are in. Where copies cannot be made, or take too long,
it gets the store's own locator, and patches with what they start from.
"""

from __future__ import annotations

import logging
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
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
_LOOK = 0.3


def plain_dir(config: Config) -> Path:
    """Where copies are kept."""
    return config.data_dir / "plain"


@dataclass(frozen=True, slots=True)
class _View:
    """`stamp` of the store's locator; what nodes get instead; the packs they may fetch; whether it is what
    they should get.
    """

    stamp: tuple[int, int]
    locator: Path | bytes
    packs: frozenset[str]
    ready: bool


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

    def locator(self, version: str) -> Path | bytes | Wait | None:
        """For the version with that manifest id. Raises ImageError, OSError."""
        view = self._look(version)
        if not view.ready:
            if self._goes_on(version):
                return Wait(_LOOK)
            view = self._look(version)
        return view.locator

    def pack(self, version: str, id: str) -> Path | None:
        """A pack that nodes fetch that version from; None: it is none of those."""
        view = self._views.get(version)
        if view is None or id not in view.packs:
            view = self._look(version)
        if id not in view.packs:
            return None
        copy = self._folder / version / (id + SUFFIX)
        return copy if copy.is_file() else self._store().pack_path(id)

    def _look(self, version: str) -> _View:
        store, known = self._store(), self._views.get(version)
        path = store.locator_path(version)
        if path is None:
            store.rebuild_locator(version)
            path = store.locators / version
        stat = path.stat()
        stamp = (stat.st_mtime_ns, stat.st_ino)
        if known is not None and known.stamp == stamp and known.ready:
            return known
        locator = Locator.parse(path.read_bytes())
        packs = frozenset(locator.packs) | (known.packs if known is not None else frozenset())
        view = _View(stamp, path, packs, True)
        if locator.patched:
            made = plain.merged(locator, self._folder)
            view = _View(stamp, path, packs, False)
            if made is not None:
                view = _View(stamp, made, packs | set(Locator.parse(made).packs), True)
        self._views[version] = view
        return view

    def _goes_on(self, version: str) -> bool:
        """Whether copies are being made and are worth waiting for; begins if nobody has."""
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
        return False

    def _begun(self, version: str) -> subprocess.Popen[bytes]:
        command = ["setpriv", "--pdeathsig", "KILL", "--", sys.executable, "-m", "images.plain"]
        arguments = [str(self._store().root), version, str(self._folder)]
        return subprocess.Popen([*command, *arguments], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
