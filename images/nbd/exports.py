"""The versions that one process serves: opened when the first client comes, shared by all of them.

    ROOT/volumes/ID.volume   what lies where (volume.py)         ROOT/cache/ID/  what was unpacked (cache.py)
    ROOT/traces/ID.trace     in which order a boot reads (trace.py)

All of it can be thrown away while nothing serves; it is made again.
"""

from __future__ import annotations

import threading
import time
from pathlib import Path

from images.nbd import building
from images.nbd.cache import Cache
from images.nbd.device import Device
from images.shelf import Shelf

_LOOK_SECONDS = 5.0


class Exports:
    """Several threads may ask."""

    def __init__(self, shelf: Shelf, root: Path, limit: int) -> None:
        """`limit`: bytes of disk for the cache."""
        self._shelf, self.root = shelf, root
        self.cache = Cache(root / "cache", limit)
        self._open: dict[str, Device] = {}
        self._names: dict[str, str] = {}
        self._looked, self._used = -_LOOK_SECONDS, dict[str, int]()
        self._locks: dict[str, threading.Lock] = {}
        self._lock = threading.Lock()

    def prepare(self) -> None:
        """Once, before the first process serves."""
        for name in ("cache", "volumes", "traces"):
            (self.root / name).mkdir(parents=True, exist_ok=True)
        self.cache.prepare()

    def device(self, ref: str) -> Device:
        """The device of NAME@NUMBER; the first one to ask waits some seconds while it is made.

        Raises ImageNotFound, ImageError with the reason, OSError.
        """
        id = self._shelf.resolve(ref).id
        with self._lock:
            lock = self._locks.setdefault(id, threading.Lock())
        with lock:
            if id not in self._open:
                volume = building.opened(self._shelf, id, self.root / "volumes")
                self._open[id] = Device(self._shelf, volume, self.cache)
                self._names[id] = ref
            return self._open[id]

    def cached(self) -> dict[str, int]:
        """Bytes of disk in the cache, by NAME@NUMBER of what is open here; looked at every few seconds."""
        if time.monotonic() - self._looked > _LOOK_SECONDS:
            self._looked, self._used = time.monotonic(), self.cache.used()
        return {ref: self._used.get(id, 0) for id, ref in list(self._names.items())}

    def tidy(self) -> None:
        """Remove what was made of versions that are gone and that nobody has open here. Raises OSError."""
        known = {version.id for version in self._shelf.versions()} | set(self._open)
        for folder in ("volumes", "traces"):
            for path in (self.root / folder).iterdir():
                if path.name.partition(".")[0] not in known:
                    path.unlink(missing_ok=True)
        for id in self.cache.used().keys() - known:
            self.cache.forget(id)

    def devices(self) -> list[Device]:
        """Those that are open."""
        return list(self._open.values())


