"""When to send again: round-trip time as TCP measures it (RFC 6298), with TFTP's long waits. Pure.

Only exchanges that were not repeated are measured (Karn): one cannot tell which of two packets was answered.
"""

from __future__ import annotations

LEAST = 0.1  # seconds; firmware that writes flash between blocks takes its time
FIRST = 1.0  # before anything was measured
MOST = 5.0


class Clock:
    """Round-trip estimate of one transfer; all times in seconds."""

    __slots__ = ("_backoff", "_mean", "_most", "_spread")

    def __init__(self, timeout: float | None) -> None:
        self._mean = 0.0
        self._spread = 0.0
        self._backoff = 1.0
        self._most = min(MOST, timeout) if timeout else MOST

    def measured(self, sample: float) -> None:
        """An answer came after `sample` seconds."""
        self._backoff = 1.0
        if self._mean:
            self._spread += (abs(sample - self._mean) - self._spread) / 4
            self._mean += (sample - self._mean) / 8
        else:
            self._mean, self._spread = max(sample, 1e-6), sample / 2

    def progressed(self) -> None:
        """Something new was acknowledged: the path works, so patience starts anew."""
        self._backoff = 1.0

    def expired(self) -> None:
        """Nothing came in time: wait twice as long next time."""
        self._backoff *= 2

    @property
    def wait(self) -> float:
        """How long to wait for an answer."""
        base = max(LEAST, self._mean + 4 * self._spread) if self._mean else FIRST
        return min(self._most, base * self._backoff)

    @property
    def soon(self) -> float:
        """How long a whole window's answer takes when all goes well, with some slack."""
        return self._mean + 2 * self._spread + 0.001 if self._mean else LEAST
