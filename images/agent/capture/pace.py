"""Whether bodies are packed before they are sent: that depends on how fast the way to the server is.

Packing pays where the way is slower than the packing: up to gigabit Ethernet, about. On a faster one the
server's own work is what takes the time, and what was packed costs it more. What counts is the best of the
last few bodies, without the time that the server worked on them: others may make any of them slow. Pure.
Python 3.8, standard library only.
"""

from __future__ import annotations

from collections import deque
from typing import Deque

FAST = 130e6  # bytes per second: more than gigabit Ethernet carries
FEW = 8
SMALL = 256 << 10  # bytes; less says nothing


class Pace:
    """How fast bodies went lately. Any thread may tell and ask."""

    def __init__(self) -> None:
        self._rates: Deque[float] = deque(maxlen=FEW)

    def went(self, size: int, seconds: float) -> None:
        """A body of `size` bytes was on its way for that long."""
        if size >= SMALL:
            self._rates.append(size / max(seconds, 1e-6))

    @property
    def packs(self) -> bool:
        """Whether the next body is worth packing. It is as long as nothing is known: over a very slow way one
        that is not packed would take minutes.
        """
        rates = tuple(self._rates)
        return not rates or max(rates) < FAST
