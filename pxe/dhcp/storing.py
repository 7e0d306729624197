"""Brings lease changes to the disk, batch after batch, and says when they are there.

At once while the disk is quick; while it is slow in a thread, so that the next packets are decided meanwhile
and their changes make the next batch. The laws: batches are stored in the order in which they were decided;
a batch whose storing failed is undone, and so is what later batches kept of it to go back to.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

from pxe.dhcp.leases import Change, LeaseTable
from pxe.dhcp.outcome import Outcome
from pxe.dhcp.ports import Lease, Leases
from pxe.dhcp.sockets import Port

SLOW_SECONDS = 0.0006  # a batch that takes longer than this, on average, is stored in the thread
NEWEST = 0.2  # share of the newest batch in the average

Decided = Sequence[tuple[Port, Outcome]]


class Storing:
    """One per server; all in its event loop but the thread's one call. `done` is told each batch, and why it
    is not stored if it is not."""

    def __init__(
        self, leases: Leases, table: LeaseTable, done: Callable[[Decided, OSError | None], None]
    ) -> None:
        self._leases, self._table, self._done = leases, table, done
        self._waiting: list[tuple[Port, Outcome]] = []
        self._again: list[Lease] = []  # true in any case, and tried until they are stored
        self._loose: list[Change] = []  # of nobody who waits for an answer
        self._thread = ThreadPoolExecutor(1, "leases-sync")
        self._closed = False
        self._flying: asyncio.Future[float] | None = None
        self.average = 0.0  # seconds a batch took lately

    def put(self, decided: Iterable[tuple[Port, Outcome]]) -> None:
        """Store the changes of these outcomes; `done` may be called before this returns."""
        self._waiting += decided
        self._go()

    def change(self, changes: Iterable[Change]) -> None:
        """Store what nobody waits for."""
        self._loose += changes
        self._go()

    def rest(self, lease: Lease) -> None:
        """Store that an address rests, which it does in any case."""
        self._again.append(lease)
        self._go()

    def moved(self, leases: Sequence[Lease]) -> None:
        """Store all leases again, since the clock was set."""
        self._again = [*leases]
        self._go()

    def _go(self) -> None:
        if self._flying is not None or not (self._waiting or self._again or self._loose):
            return
        decided, loose, again = self._waiting, self._loose, [*self._again]
        self._waiting, self._loose = [], []
        changes = [change for _port, outcome in decided for change in outcome.changes] + loose
        batch = [*again, *(change.lease for change in changes)]
        loop = self._slowly()
        if loop is None:
            try:
                took: float | OSError = self._commit(batch)
            except OSError as error:
                took = error
            self._landed(decided, changes, took, again)
            return
        flying = self._flying = loop.run_in_executor(self._thread, self._commit, batch)
        flying.add_done_callback(lambda future: self._came_down(future, decided, changes, again))

    def _slowly(self) -> asyncio.AbstractEventLoop | None:
        """The loop to go on in meanwhile; None: store at once."""
        if self.average < SLOW_SECONDS or self._closed:
            return None
        try:
            return asyncio.get_running_loop()
        except RuntimeError:
            return None

    def _commit(self, batch: Sequence[Lease]) -> float:
        began = time.perf_counter()
        self._leases.commit(batch)
        return time.perf_counter() - began

    def _came_down(
        self, future: asyncio.Future[float], decided: Decided, changes: list[Change], again: list[Lease]
    ) -> None:
        self._flying = None
        error = future.exception()
        if error is not None and not isinstance(error, OSError):
            raise error
        self._landed(decided, changes, error or future.result(), again)
        self._go()

    def _landed(
        self, decided: Decided, changes: list[Change], took: float | OSError, again: list[Lease]
    ) -> None:
        if isinstance(took, OSError):
            self._undo(changes)
            self._done(decided, took)
            return
        self.average += NEWEST * (took - self.average)
        stored = {id(lease) for lease in again}
        self._again = [lease for lease in self._again if id(lease) not in stored]
        self._done(decided, None)

    def _undo(self, changes: list[Change]) -> None:
        """Later changes, which are not stored yet, must not go back to what never was."""
        later = [change for _port, outcome in self._waiting for change in outcome.changes] + self._loose
        for change in reversed(changes):
            for other in later:
                if other.before is not None and other.before.lease is change.lease:
                    other.before = change.before
            self._table.undo(change)

    async def close(self) -> None:
        """Wait for what is being stored; safe to call twice."""
        while self._flying is not None:
            await asyncio.wait([self._flying])
            await asyncio.sleep(0)  # its callback has run then
        self._closed = True
        self._thread.shutdown()
