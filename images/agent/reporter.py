"""Sends events and log lines to the server from a thread of its own, so that reporting never slows the
work.

The law: events arrive in order, each exactly once in what we know of; a progress event that could not be
sent yet is replaced by the next. Log lines may be dropped when the server is away for long (the oldest
first). Python 3.8, standard library only.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import Any

from images.agent.client import Client, Refused

KEEP_LINES = 2000
BATCH = 100
LONGEST_LINE = 600  # characters of up to four bytes: a batch of them is below what the server takes
TOO_LARGE, SHORT = 413, 200
TIDY = 1.0  # seconds that log lines may wait for company
PROGRESS = "deploy.progress"


class Reporter:
    """Queue and sending thread.

    `event` and `log` return at once; `flush` waits until all is with the server.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._events: deque[dict[str, Any]] = deque()
        self._lines: deque[str] = deque(maxlen=KEEP_LINES)
        self._changed = threading.Condition()
        self._sending = False
        self._urgent = False
        self._stop = False
        self.refused: Refused | None = None
        self._thread = threading.Thread(target=self._run, name="reporter", daemon=True)
        self._thread.start()

    def event(self, kind: str, text: str, **data: Any) -> None:
        """Queues one event."""
        row = {"kind": kind, "text": text, "data": data}
        with self._changed:
            if kind == PROGRESS and self._events and self._events[-1]["kind"] == PROGRESS:
                self._events[-1] = row
            else:
                self._events.append(row)
            self._changed.notify_all()

    def log(self, line: str) -> None:
        """Queues one log line."""
        with self._changed:
            self._lines.append(line)
            self._changed.notify_all()

    def flush(self, timeout: float | None = None) -> bool:
        """Waits until the queue is empty; False when that took longer.

        Raises what the server refused last.
        """
        with self._changed:
            self._urgent = True
            self._changed.notify_all()
            empty = self._changed.wait_for(
                lambda: not (self._events or self._lines or self._sending), timeout
            )
            refused, self.refused = self.refused, None
        if refused is not None:
            raise refused
        return empty

    def close(self) -> None:
        """Ends the thread after what it is sending."""
        with self._changed:
            self._stop = True
            self._changed.notify_all()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._sending = False
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._events or self._lines or self._stop)
                if self._stop:
                    return
                if not self._events and not self._urgent:
                    self._changed.wait_for(lambda: self._events or self._urgent or self._stop, TIDY)
                self._urgent = False
                self._sending = True
                events = [self._events.popleft() for _ in range(min(BATCH, len(self._events)))]
                lines = [self._lines.popleft() for _ in range(min(BATCH, len(self._lines)))]
            self._send(events, lines)

    def _send(self, events: list[dict[str, Any]], lines: list[str]) -> None:
        try:
            if events:
                self._send_events(events)
            if lines:
                self._send_lines(lines)
        except Refused as refused:  # this batch will never be taken; the next one may be
            with self._changed:
                self.refused = refused
        except ConnectionError:  # only when the client was told to stop
            return

    def _send_events(self, events: list[dict[str, Any]]) -> None:
        """One that is too large must not take its neighbours along: alone, and at last without its data."""
        try:
            self._client.post_json("/node/v1/events", events)
        except Refused as refused:
            if refused.status != TOO_LARGE:
                raise
            if len(events) > 1:
                for event in events:
                    self._send_events([event])
            elif len(events[0]["text"]) > SHORT or events[0]["data"].keys() - {"id"}:
                kept = {key: value for key, value in events[0]["data"].items() if key == "id"}
                self._send_events([{**events[0], "text": events[0]["text"][:SHORT], "data": kept}])
            else:
                raise

    def _send_lines(self, lines: list[str]) -> None:
        """A log that is not taken is a pity, and no reason not to go on."""
        text = "\n".join(line[:LONGEST_LINE] for line in lines) + "\n"
        try:
            self._client.post_text("/node/v1/log", text)
        except Refused as refused:
            if refused.status != TOO_LARGE:
                raise
