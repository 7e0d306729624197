"""Lists the directories of a tree ahead of the walk that needs them, many at once.

A disk that is asked for one directory after the other answers with its latency each time; of a tree in whose
files nothing changed, that is most of what a comparison takes. Law: no link is followed. What is listed here
is as it was before the walk changed anything in it: who walks must not need more. Python 3.8, standard
library only.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Dict, Optional

from images.agent.inplace.aside import names_in
from images.agent.update.folders import DIR
from images.agent.update.lines import path_of
from images.sealed import SealedManifest

Listing = Dict[bytes, os.stat_result]
THREADS = 12
AHEAD = 96  # directories
NAMES = 20_000  # from so many on, no further directory is listed ahead


class Listings:
    """The manifest's directories, in its order."""

    def __init__(self, root: int, manifest: SealedManifest) -> None:
        """`root`: the open top of the tree."""
        self._root = root
        self._paths = directories(manifest)
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="list")
        self._jobs: deque[tuple[bytes, Future[Optional[Listing]]]] = deque()
        self._held = 0
        self._lock = threading.Lock()

    def take(self, path: bytes, fd: int) -> Listing:
        """What the directory `path`, which is open as `fd`, holds. Asked for in the manifest's order."""
        found = None
        while True:
            self._fill()
            if not self._jobs:
                break
            name, job = self._jobs.popleft()
            found = job.result()
            with self._lock:
                self._held -= len(found or ())
            if name == path:
                break
            found = None
        return found if found is not None else _list(fd)

    def _fill(self) -> None:
        while len(self._jobs) < AHEAD and self._held < NAMES:
            path = next(self._paths, None)
            if path is None:
                return
            self._jobs.append((path, self._pool.submit(self._look, path)))

    def close(self) -> None:
        """Ends the threads."""
        for _, job in self._jobs:
            job.cancel()
        self._pool.shutdown()
        self._jobs.clear()

    def _look(self, path: bytes) -> Listing | None:
        """In a thread. None when it is no directory, or cannot be read: the walk will see why."""
        handle = os.dup(self._root)
        try:
            for part in filter(None, path.split(b"/")):
                handle, above = os.open(part, DIR, dir_fd=handle), handle
                os.close(above)
            found = _list(handle)
            with self._lock:
                self._held += len(found)
            return found
        except OSError:
            return None
        finally:
            os.close(handle)


def _list(fd: int) -> Listing:
    return {name: os.stat(name, dir_fd=fd, follow_symlinks=False) for name in names_in(fd)}


def directories(manifest: SealedManifest) -> Iterator[bytes]:
    """Paths; within a JSON text no quote stands by itself, so no name can look like a type."""
    return (path_of(line) for line in manifest.lines() if b'","type":"dir",' in line[:9000])
