"""Bytes done while files are written: the rate over the last seconds, for the console and the server.

Python 3.8, standard library only.
"""

from __future__ import annotations

import time
from collections import deque

from images.agent.console import Console
from images.agent.reporter import PROGRESS, Reporter

EVERY = 1.0  # seconds between two events
WINDOW = 6.0  # seconds that the rate looks back


class Meter:
    """A `Progress` (images.progress) that tells both."""

    def __init__(self, console: Console, reporter: Reporter, id: str, total: int) -> None:
        self._console, self._reporter, self._id, self._total = console, reporter, id, total
        self._started = time.monotonic()
        self._past: deque[tuple[float, int]] = deque([(self._started, 0)])
        self._told = 0.0
        self.seconds = 0.0

    def __call__(self, done: int, total: int | None, what: str) -> None:
        now = time.monotonic()
        if now - self._past[-1][0] >= 0.2:
            self._past.append((now, done))
            while now - self._past[0][0] > WINDOW:
                self._past.popleft()
            self._tell(done, now)

    def finish(self) -> None:
        """All is on the disk."""
        now = time.monotonic()
        self.seconds = now - self._started
        self._told = 0.0
        self._tell(self._total, now)

    def _tell(self, done: int, now: float) -> None:
        then, before = self._past[0]
        rate = (done - before) / max(now - then, 0.001)
        self._console.progress(done, self._total, rate)
        if now - self._told >= EVERY:
            self._told = now
            data = {"done": done, "total": self._total, "rate": round(rate), "id": self._id}
            self._reporter.event(PROGRESS, "", **data)
