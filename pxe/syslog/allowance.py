"""How much each peer may say: a burst, then a rate. Pure; `now` in seconds of any clock that goes evenly."""

from __future__ import annotations

BURST, RATE = (
    2000.0,
    200.0,
)  # messages, and messages a second: d-i says 4,000 in all, its kernel 1,500 at once
MOST_PEERS = 5000


class Allowance:
    """Token buckets by peer."""

    def __init__(self, burst: float = BURST, rate: float = RATE, most: int = MOST_PEERS) -> None:
        self._burst, self._rate, self._most = burst, rate, most
        self._left: dict[str, tuple[float, float]] = {}

    def take(self, peer: str, now: float) -> bool:
        """Whether one more message of this peer is within its allowance; if so, it is counted."""
        left, at = self._left.get(peer, (self._burst, now))
        left = min(self._burst, left + max(0.0, now - at) * self._rate)
        if peer not in self._left and len(self._left) >= self._most:
            self._left.pop(next(iter(self._left)))
        self._left[peer] = (left - 1 if left >= 1 else left, now)
        return left >= 1
