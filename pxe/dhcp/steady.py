"""Tells when the clock was set. Somebody corrects a date that was years off: no lease may end early or be
given to a second machine because of it, so the ends of all leases move by as much as the clock did.

CLOCK_BOOTTIME runs evenly whatever is done to the wall clock, and goes on in suspend.
"""

from __future__ import annotations

import time
from collections.abc import Callable

TOLERANCE_SECONDS = 2.0  # what NTP slews away is not a jump


def boot_seconds() -> float:
    """Seconds since this machine started."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Steady:
    """Compares the wall clock with one that nobody sets."""

    def __init__(self, wall: Callable[[], float], even: Callable[[], float] = boot_seconds) -> None:
        self._wall, self._even = wall, even
        self._apart = wall() - even()

    def jumped(self) -> float:
        """By how many seconds the wall clock was set since the last call; 0.0 nearly always."""
        apart = self._wall() - self._even()
        jump = apart - self._apart
        if abs(jump) < TOLERANCE_SECONDS:
            return 0.0
        self._apart = apart
        return jump
