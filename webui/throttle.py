"""How fast somebody may guess passwords: a small sliding count per key, kept in memory.

Pure: `now` (monotonic seconds) is an argument. The first failures are free, so that a typing mistake costs
nothing; after that every failure doubles the wait up to `longest`. The table is bounded: an attacker who
makes up keys (addresses, user names) can only push out other attackers' oldest entries, never grow the
process.
"""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock


class Throttle:
    """Counts failures per key; `wait` says how many seconds the next try must be refused for."""

    def __init__(
        self, free: int = 5, first: float = 2.0, longest: float = 300.0, entries: int = 10_000
    ) -> None:
        self.free, self.first, self.longest, self.entries = free, first, longest, entries
        self._failures: OrderedDict[str, tuple[int, float]] = (
            OrderedDict()
        )  # key -> failures, when the last one was
        self._lock = Lock()

    def wait(self, key: str, now: float) -> float:
        """Seconds until `key` may try again; 0 when it may now."""
        with self._lock:
            count, last = self._failures.get(key, (0, now))
            return max(0.0, last + self._penalty(count) - now)

    def failed(self, key: str, now: float) -> None:
        with self._lock:
            count, last = self._failures.pop(key, (0, now))
            if now - last > 2 * self.longest:  # long quiet: start over
                count = 0
            self._failures[key] = (count + 1, now)
            while len(self._failures) > self.entries:
                self._failures.popitem(last=False)

    def passed(self, key: str) -> None:
        with self._lock:
            self._failures.pop(key, None)

    def _penalty(self, count: int) -> float:
        over = count - self.free
        return 0.0 if over < 0 else min(self.longest, self.first * 2.0 ** min(over, 30))
