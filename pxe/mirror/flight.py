"""One file on its way from its archive, and what everybody who waits for it sees.

However many ask, it is fetched once. The last bytes are held back until the whole was compared with its
length and, where it is known, its hash: nobody ever has a wrong file whole.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

HELD = 4096  # bytes at the end that wait for the verdict


@dataclass(frozen=True, slots=True)
class Archive:
    """One archive of the configuration: `urls` are asked in this order. `proxy`: None: the environment's."""

    name: str
    urls: Sequence[str]
    proxy: str | None = None


class Outcome(StrEnum):
    """How it goes, or went."""

    WAITING = "waiting"  # nobody has answered yet
    COMING = "coming"
    DONE = "done"
    SAME = "same"  # what we have is what its server has
    MISSING = "missing"
    NO_ROOM = "no room"  # on our disk
    FAILED = "failed"


@dataclass(slots=True)
class Flight:
    """`size` is None where the server does not tell; `etag` and `modified` are its headers."""

    archive: Archive
    path: str
    part: Path
    outcome: Outcome = Outcome.WAITING
    size: int | None = None
    have: int = 0
    etag: str = ""
    modified: str = ""
    sha256: str = ""  # once all of it was compared
    error: str = ""
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def change(self) -> None:
        """Returns when something has happened."""
        await self._changed.wait()

    def tell(self, outcome: Outcome | None = None) -> None:
        """Something has happened."""
        self.outcome = outcome or self.outcome
        self._changed, old = asyncio.Event(), self._changed
        old.set()

    @property
    def ready(self) -> int:
        """Bytes from the start that may be passed on."""
        return self.have if self.outcome is Outcome.DONE else max(0, self.have - HELD)

    @property
    def open(self) -> bool:
        return self.outcome in (Outcome.WAITING, Outcome.COMING)
