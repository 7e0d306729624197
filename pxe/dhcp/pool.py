"""The next free address of a pool, in constant time on average, whatever its size.

First come addresses that nobody had, in order; then those whose lease ended longest ago, so that a machine
that was off for a while most likely finds its old address still free. The law: `pick` gives only addresses
that are free now, and finds one if there is one (a fruitless full search is not repeated within
RESCAN_SECONDS).
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from math import inf

RESCAN_SECONDS = 5.0


class FreeAddresses:
    """Addresses as integers, `first` to `last` included."""

    def __init__(self, first: int, last: int) -> None:
        self.first = first
        self.last = last
        self._cursor = first
        self._ended: list[tuple[float, int]] = []  # (when to look, address); only valid if `_queued` agrees
        self._queued: dict[int, float] = {}  # so that each address waits once, however often it is renewed
        self._barren_until = -inf

    def __contains__(self, address: int) -> bool:
        return self.first <= address <= self.last

    def returned(self, address: int, when: float) -> None:
        """The address may be free from `when` on, or later."""
        if when < self._queued.get(address, inf):
            self._queued[address] = when
            heapq.heappush(self._ended, (when, address))
            self._barren_until = -inf

    def shift(self, seconds: float) -> None:
        """The clock was set by this much."""
        self._queued = {address: when + seconds for address, when in self._queued.items()}
        self._ended = [(when, address) for address, when in self._queued.items()]
        heapq.heapify(self._ended)
        self._barren_until = -inf

    def pick(self, now: float, free_at: Callable[[int], float]) -> int | None:
        """An address that is free now, or None. `free_at` says when one will be; infinity: not of itself.

        The caller makes it not free; it comes back by `returned`.
        """
        while self._cursor <= self.last:
            address = self._cursor
            self._cursor += 1
            when = free_at(address)
            if when <= now:
                return address
            if when < inf:
                self.returned(address, when)
        while self._ended and self._ended[0][0] <= now:
            queued, address = heapq.heappop(self._ended)
            if self._queued.get(address) != queued:
                continue
            del self._queued[address]
            when = free_at(address)
            if when <= now:
                return address
            if when < inf:
                self.returned(address, when)
        return self._rescan(now, free_at)

    def _rescan(self, now: float, free_at: Callable[[int], float]) -> int | None:
        """Reservations come and go without telling us, so look at each address again, but not for each
        packet."""
        if now < self._barren_until <= now + RESCAN_SECONDS:
            return None
        for address in range(self.first, self.last + 1):
            if free_at(address) <= now:
                return address
        self._barren_until = now + RESCAN_SECONDS
        return None
