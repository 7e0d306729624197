"""Watches over boots: the first one of a version is recorded, and what later ones will read is brought ahead.

A version is brought ahead once in this process's life, by one process of several. The event loop calls in
here; what takes time goes to a thread.
"""

from __future__ import annotations

import fcntl
import logging
import os
from collections.abc import Callable
from concurrent.futures import Executor
from pathlib import Path

from images.errors import ImageError
from images.nbd import trace
from images.nbd.device import Device
from images.nbd.trace import Recording
from images.nbd.transmission import Transmission

log = logging.getLogger(__name__)


class Boots:
    """`folder` is where traces lie."""

    def __init__(self, folder: Path, threads: Executor, stopped: Callable[[], bool]) -> None:
        self._folder, self._threads, self._stopped = folder, threads, stopped
        self._known: set[str] = set()  # versions that were looked at
        self._recording: dict[Transmission, tuple[Device, Recording]] = {}

    def came(self, device: Device, transmission: Transmission) -> None:
        """A client has this version now."""
        if device.id in self._known:
            return
        self._known.add(device.id)
        if self._path(device).exists():
            self._threads.submit(self._ahead, device)
        else:
            recording = Recording()
            self._recording[transmission] = device, recording
            transmission.note = recording.note

    def left(self, transmission: Transmission) -> None:
        """It is gone; what it read is kept if it was a boot, else the next one is recorded."""
        found = self._recording.pop(transmission, None)
        if found is not None:
            transmission.note = None
            self._threads.submit(self._save, *found)

    def look(self) -> None:
        """Now and then: end recordings that have seen enough."""
        for transmission, (_, recording) in list(self._recording.items()):
            if recording.over:
                self.left(transmission)

    def _path(self, device: Device) -> Path:
        return self._folder / (device.id + trace.SUFFIX)

    def _save(self, device: Device, recording: Recording) -> None:
        try:
            if not recording.save(self._path(device)):
                self._known.discard(device.id)
        except OSError as error:
            log.warning("the trace of a boot could not be kept: %s", error)

    def _ahead(self, device: Device) -> None:
        path = self._path(device)
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            brought = trace.ahead(device, trace.load(path), self._stopped)
            if brought:
                log.info("%s: %d stretches brought ahead of a boot", device.id[:12], brought)
        except BlockingIOError:
            return  # another process is at it
        except (ImageError, OSError) as error:
            log.error("nothing more is brought ahead of boots: %s", error)
        finally:
            os.close(fd)
