"""The versions' images for NFS, made one at a time by a process of its own, and removed when no node needs
them.

The law: a file below `roots` with a version's name is whole (images/erofs/writing.py); a failure is said, and
tried again after a while.
"""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
import time
from collections.abc import Collection, Iterable
from pathlib import Path

from images.versions import Version

log = logging.getLogger(__name__)
AGAIN_SECONDS = 300.0  # after a failure
KEEP_SECONDS = 3600.0  # what no node needs: it may be moved back
SUFFIX = ".erofs"
FAILED = "failed: "  # how `state` begins of what could not be made


class RootImages:
    """All from one thread but the making, which has its own."""

    def __init__(self, store: Path, folder: Path) -> None:
        self._store, self._folder = store, folder
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for left in folder.glob("*.tmp"):  # of a start before
            left.unlink()
        self._process: subprocess.Popen[str] | None = None
        self._making = ""
        self._percent = 0
        self._began = 0.0
        self._failed: dict[str, tuple[float, str]] = {}
        self._idle: dict[str, float] = {}

    def path(self, version: str) -> Path:
        """Where the image of that version (its id) is, when it is there."""
        return self._folder / f"{version}{SUFFIX}"

    def want(self, versions: Iterable[Version]) -> list[Version]:
        """Of these, those that are there; the others are made, one after the other."""
        ready = []
        self._look()
        for version in versions:
            if self.path(version.id).exists():
                ready.append(version)
            elif self._process is None and not self._resting(version.id):
                self._start(version)
        return ready

    def state(self, version: Version) -> str:
        """For a person: how far it is, or why it is not. "" when it is there."""
        if self.path(version.id).exists():
            return ""
        if self._making == version.id:
            return f"{self._percent} % written"
        if version.id in self._failed:
            return FAILED + self._failed[version.id][1]
        return "waits for its turn"

    def unneeded(self, needed: Collection[str]) -> list[Path]:
        """Images that no node has needed for a while. Remove them when they are not mounted."""
        now, old = time.monotonic(), []
        for path in sorted(self._folder.glob(f"*{SUFFIX}")):
            if path.stem in needed:
                self._idle.pop(path.stem, None)
            elif now - self._idle.setdefault(path.stem, now) > KEEP_SECONDS:
                old.append(path)
        return old

    def close(self) -> None:
        """End what is under way; it begins anew at the next start."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def _resting(self, id: str) -> bool:
        return id in self._failed and time.monotonic() - self._failed[id][0] < AGAIN_SECONDS

    def _start(self, version: Version) -> None:
        command = ["setpriv", "--pdeathsig", "KILL", "--", "nice", "-n", "10", sys.executable]
        command += ["-m", "images.erofs.writing", str(self._store), version.id, str(self.path(version.id))]
        self._making, self._percent, self._began = version.id, 0, time.monotonic()
        self._process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        log.info("writing %s for NFS", version.ref)
        threading.Thread(target=self._follow, args=(self._process,), daemon=True).start()

    def _follow(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            if line.strip().isdigit():
                self._percent = int(line)
            else:
                log.warning("%s: %s", self._making[:12], line.strip())

    def _look(self) -> None:
        if self._process is None or self._process.poll() is None:
            return
        assert self._process.stderr is not None
        if self._process.returncode:
            said = self._process.stderr.read().strip().splitlines()
            text = said[-1] if said else f"exit code {self._process.returncode}"
            self._failed[self._making] = time.monotonic(), text
            log.error("version %s could not be written for NFS: %s", self._making[:12], text)
        else:
            self._failed.pop(self._making, None)
            log.info("version %s is ready after %.1f s", self._making[:12], time.monotonic() - self._began)
        self._process.stderr.close()
        self._process, self._making = None, ""
