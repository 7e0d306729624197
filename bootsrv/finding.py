"""What a look around finds: one thing, how bad it is, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How bad it is."""

    ERROR = "error"  # machines will not boot
    WARNING = "warning"  # part of it will not work, or not for long
    OK = "ok"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. `fatal`: an error that keeps the service itself from starting; any other
    may end while it runs (an interface that comes up, an address) or at its next start.
    """

    level: Level
    what: str
    do: str = ""
    fatal: bool = False
