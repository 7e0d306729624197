"""Tells the server what an order's work says, a few lines at a time, from a thread of its own: whatever
becomes of the server, the work is not held up. Python 3.8, standard library only.
"""

from __future__ import annotations

import threading
from typing import Any, Dict, List

from images.agent.client import Client, Refused

EVERY = 1.0  # seconds between two calls
ALIVE = 30.0  # a call without news, so that the server knows that the work goes on
MOST = 1000  # lines that wait; a server that is away that long is told the last ones


class Telling:
    """`client` is this thread's own. `say` may be called by one other; `end` leaves what was not told."""

    def __init__(self, client: Client, number: int) -> None:
        self._client, self._number = client, number
        self._lines: List[Dict[str, Any]] = []
        self._lock, self._news, self._over = threading.Lock(), threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def say(self, line: Dict[str, Any]) -> None:
        """One line. Of how much is done, only the newest counts."""
        with self._lock:
            if self._lines and line.get("step") == self._lines[-1].get("step") == "fetch":
                self._lines.pop()
            self._lines.append(line)
            del self._lines[:-MOST]
        self._news.set()

    def end(self) -> List[Dict[str, Any]]:
        """Stops; the lines that were not told."""
        self._over.set()
        self._news.set()
        self._client.stopping.set()
        self._thread.join()
        self._client.stopping.clear()
        return self._lines

    def _run(self) -> None:
        while not self._over.is_set():
            self._news.wait(ALIVE)
            self._news.clear()
            if self._over.is_set():
                return
            with self._lock:
                lines, self._lines = self._lines, []
            try:
                self._client.post_json("/node/v1/order", {"number": self._number, "lines": lines})
            except Refused:
                return  # nobody waits for it any more; the work goes on
            except OSError:
                with self._lock:
                    self._lines[:0] = lines
            self._over.wait(EVERY)
