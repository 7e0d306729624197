"""One reader of the registry's events for all open pages.

Every live page holds a thread; if each asked the database itself, a hundred open pages would be a hundred
pollers. Here one thread asks, keeps the last events in memory and wakes the pages. It starts with the first
page and stops when the last one has gone. It knows nothing of HTTP.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence
from threading import Condition, Thread

from bootsrv.model import Event

log = logging.getLogger(__name__)

Fetch = Callable[[int, int], Sequence[Event]]  # (after this id, at most) -> oldest first


class EventHub:
    """Hands out events newer than an id; `kept` bounds the memory, `poll` is in seconds."""

    def __init__(self, fetch: Fetch, kept: int = 2000, poll: float = 0.25) -> None:
        self._fetch, self._poll, self._kept = fetch, poll, kept
        self._recent: deque[Event] = deque(maxlen=kept)
        self._start = 0  # every event after this id is in `_recent`
        self._changed = Condition()
        self._pages = 0
        self._running = False

    @property
    def pages(self) -> int:
        return self._pages

    def join(self, last: int) -> None:
        """A page begins to listen; `last` is the newest event it has."""
        with self._changed:
            self._pages += 1
            if not self._running:
                self._recent.clear()
                self._start = last
                self._running = True
                Thread(target=self._run, name="event-hub", daemon=True).start()

    def leave(self) -> None:
        with self._changed:
            self._pages -= 1

    def after(self, last: int, timeout: float) -> tuple[list[Event], bool, int]:
        """Events newer than `last`, waiting up to `timeout` seconds for one; and the id to go on from.

        The flag says whether they are all of them; when it is False the page has to look anew, because it
        was away for longer than the memory reaches.
        """
        with self._changed:
            if not self._newer(last):
                self._changed.wait(timeout)
            newer = self._newer(last)
            newest = self._recent[-1].id if self._recent else self._start
            return newer, last >= self._start, max(last, newest)

    def _newer(self, last: int) -> list[Event]:
        newer: list[Event] = []
        for event in reversed(self._recent):
            if event.id <= last:
                break
            newer.append(event)
        newer.reverse()
        return newer

    def _run(self) -> None:
        while True:
            with self._changed:
                if self._pages <= 0:
                    self._running = False
                    return
                last = self._recent[-1].id if self._recent else self._start
            try:
                found = self._fetch(last, self._kept)
            except Exception:  # a locked or moved database must not end the feed
                log.exception("reading events; trying again")
                found = ()
            with self._changed:
                if found:
                    spill = len(self._recent) + len(found) - self._kept
                    if spill > 0 and self._recent:
                        self._start = self._recent[min(spill, len(self._recent)) - 1].id
                    self._recent.extend(found)
                    self._changed.notify_all()
                else:
                    self._changed.wait(self._poll)
