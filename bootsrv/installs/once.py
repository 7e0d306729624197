"""May this request have the answers now? Pure.

An armed boot's answers are for the machine that was booted, and for once. An installer may need more than one
try, and more than one file: so the door stays open to the first peer until the installer shows that it has
everything (it calls back), or for a while after a file has left whole. The law: nobody but the first peer
gets anything, and nobody gets anything after the door has closed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum, auto

GRACE = 120.0  # seconds after a whole file: d-i tries again after 10 s or so, cloud-init fetches three files


class Verdict(Enum):
    """What a request gets."""

    OPEN = auto()
    FOREIGN = auto()  # another peer had it before
    LATE = auto()


@dataclass(frozen=True, slots=True)
class Handed:
    """What became of one armed boot's answers. Times are epoch seconds, 0.0: not yet."""

    peer: str = ""
    whole: float = 0.0  # when a file last left whole
    closed: bool = False  # the installer called back


def verdict(handed: Handed, peer: str, now: float) -> Verdict:
    """For a request by `peer`, of whom is known that it is the machine."""
    if handed.closed or (handed.whole and now - handed.whole > GRACE):
        return Verdict.LATE
    if handed.peer and handed.peer != peer:
        return Verdict.FOREIGN
    return Verdict.OPEN


def asked(handed: Handed, peer: str) -> Handed:
    """After a request that was let in."""
    return handed if handed.peer else replace(handed, peer=peer)


def left_whole(handed: Handed, now: float) -> Handed:
    """After a file has left whole. The first such moment counts: asking again keeps no door open."""
    return handed if handed.whole else replace(handed, whole=now)


def called_back(handed: Handed) -> Handed:
    """After the installer has shown that it has its answers."""
    return replace(handed, closed=True)
