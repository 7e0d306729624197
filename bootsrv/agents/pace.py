"""What is decided about agents on running machines: how often they ask, which of them are alive, when
somebody who waits for one gives up. No IO.
"""

from __future__ import annotations

SHORTEST, PER_SECOND = 20.0, 50.0
TAKE_SECONDS = 2.0  # of the agent, on top of its pause, to ask
SILENT_SECONDS = 180.0  # an agent that works says so every half minute
STALE_SECONDS = 10.0  # who waits takes an order back himself
SPREAD = 1.2  # an agent's pause is up to a fifth longer than it was told


def pause(agents: int) -> float:
    """Seconds between two questions of one agent: all together ask no more than PER_SECOND. Each question is
    a TLS handshake, one to two milliseconds of a processor."""
    return max(SHORTEST, agents / PER_SECOND)


def alive(called: float, now: float, agents: int) -> bool:
    """Whether an agent that asked at `called` can be counted on: it may have missed one question."""
    return now - called < 2 * SPREAD * pause(agents) + 10.0


def overdue(made: float, now: float, agents: int) -> bool:
    """Whether an order that was made then should have been taken."""
    return now - made > SPREAD * pause(agents) + TAKE_SECONDS


def forgotten(made: float, now: float, agents: int) -> bool:
    """Whether nobody can be waiting any more for an order that nobody took: who made it was killed."""
    return overdue(made, now - STALE_SECONDS, agents)


def silent(heard: float, now: float) -> bool:
    """Whether an agent that took an order has said nothing for too long."""
    return now - heard > SILENT_SECONDS
