"""How far the leases have to move because time passed, or the clock was set, while nobody was looking.

Each commit of leases keeps the moment it was made at. At the next start the ends of all leases move by what
the wall clock did beyond the time that really passed. The law: a lease never ends early for its holder;
it may end late, by no more than its own length.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
TOLERANCE_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Moment:
    """A point in time on both clocks. `even`: seconds since `boot` (an id of it), which nobody can set."""

    boot: str
    even: float
    wall: float

    def text(self) -> str:
        return f"{self.boot} {self.even!r} {self.wall!r}"


def now() -> Moment:
    """This moment."""
    return Moment(_boot(), time.clock_gettime(time.CLOCK_BOOTTIME), time.time())


@cache
def _boot() -> str:
    return BOOT_ID.read_text().strip()


def read(text: str) -> Moment:
    """What `Moment.text` wrote. Raises ValueError."""
    boot, even, wall = text.split(" ")
    return Moment(boot, float(even), float(wall))


def moved(before: Moment, after: Moment) -> float:
    """Seconds to add to the end of every lease.

    While this machine was off nobody knows how much of the wall clock's difference is time and how much is a
    wrong clock (an empty battery says 1970, a hardware clock in local time is hours off): then none of it
    counts, and the leases have left what they had at the last commit.
    """
    passed = after.even - before.even if before.boot == after.boot else 0.0
    jump = after.wall - before.wall - passed
    return 0.0 if abs(jump) < TOLERANCE_SECONDS else jump
