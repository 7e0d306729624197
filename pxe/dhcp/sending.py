"""Lets answers leave: a few at once, hundreds spread over some milliseconds.

After a slow moment of the disk hundreds of answers are ready at the same time. Whoever stands between us and
the clients holds about 160 of them (a relay agent's socket has Linux' default buffer, 208 KiB with its
bookkeeping) and drops the rest, whose clients ask again seconds later. The laws: nothing overtakes, nothing
is dropped.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable

from pxe.dhcp.replies import Reply
from pxe.dhcp.sockets import Port

BURST = 80  # answers
A_SECOND = 40_000.0  # several times what a relay agent passes on, and more than we can decide
PAUSE_SECONDS = 0.001


class Sending:
    """One per server, in its event loop. `send` takes each answer, and raises nothing."""

    def __init__(
        self, send: Callable[[Port, Reply], None], clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self._send, self._clock = send, clock
        self._waiting: deque[tuple[Port, Reply]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._room, self._looked = float(BURST), 0.0

    def put(self, answers: Iterable[tuple[Port, Reply]]) -> None:
        """Send these, as many as may leave now before this returns."""
        self._waiting.extend(answers)
        if self._waiting:
            self._go()

    def _go(self) -> None:
        now = self._clock()
        self._room = min(self._room + (now - self._looked) * A_SECOND, BURST)
        self._looked = now
        count = min(int(self._room), len(self._waiting))
        self._room -= count
        for _ in range(count):
            self._send(*self._waiting.popleft())
        if self._waiting and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(PAUSE_SECONDS, self._later)

    def _later(self) -> None:
        self._timer = None
        self._go()

    def close(self) -> None:
        """Send the rest at once; safe to call twice."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._waiting:
            self._send(*self._waiting.popleft())
