"""When to read: at once while packets are few, every millisecond or so while they are many.

As network drivers do it (NAPI): a lone client is answered immediately; in a rush each round takes what came
meanwhile as one batch, and what a round costs (a commit to the disk above all) is shared by more packets.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

POLL_SECONDS = 0.001
BUSY = 4  # packets in one round that make it a rush
CALM = 2  # and fewer end it
FULL = 256  # with so many in one round there are more waiting


class Pace:
    """`read` takes a round of packets and tells how many; `listen` and `deafen` turn `heard` on and off."""

    def __init__(
        self, read: Callable[[], int], listen: Callable[[], None], deafen: Callable[[], None]
    ) -> None:
        self._read, self._listen, self._deafen = read, listen, deafen
        self._timer: asyncio.TimerHandle | None = None

    def heard(self) -> None:
        """Packets wait."""
        if self._read() >= BUSY:
            self._deafen()
            self._wait(POLL_SECONDS)

    def _wait(self, seconds: float) -> None:
        self._timer = asyncio.get_running_loop().call_later(seconds, self._poll)

    def _poll(self) -> None:
        self._timer = None
        count = 0
        try:
            count = self._read()
        finally:
            if count < CALM:
                self._listen()
            else:
                self._wait(0 if count >= FULL else POLL_SECONDS)

    def close(self) -> None:
        """No more rounds; safe to call twice."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
