"""Durable leases for the DHCP service (`pxe.dhcp.ports.Leases`): into the journal before `commit` returns,
into the registry's table, where the rest of the house looks, a moment later (`Behind`).

The laws: each of the two can be made anew from the other; after a crash the journal is right, and where it is
damaged the later end of a lease counts, so that no address is given twice; whatever happens to the clock
between two runs, no lease ends early (`moment`).
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path

from bootsrv.leasebook import frame
from bootsrv.leasebook.behind import Behind
from bootsrv.leasebook.frame import Content
from bootsrv.leasebook.journal import Journal, Rewrite
from bootsrv.registry import moment
from bootsrv.registry.moment import Moment
from bootsrv.registry.registry import Registry
from pxe.dhcp.leases import NEVER
from pxe.dhcp.ports import Lease

log = logging.getLogger(__name__)
NAME = "leases.journal"
SLICE = 500  # leases in one frame of a rewritten journal
GROWN = 8 << 20  # bytes beyond twice its last rewritten size that a journal may have
PAUSE_SECONDS = 60.0  # after a rewrite that failed


class Keeper:
    """One per service. `commit` is called by one thread; the journal is rewritten by another meanwhile."""

    def __init__(self, path: Path, registry: Registry, now: Callable[[], Moment] = moment.now) -> None:
        self._journal = Journal(path)
        self._registry, self._now = registry, now
        self._lock = threading.Lock()  # the journal and the book
        self._book: dict[int, Lease] = {}  # everything, as the journal has it
        self._due = False  # the journal has to be written anew before it can go on
        self._moment = now()  # of the last frame
        self._fresh = 0  # its size when it was last written anew
        self._not_before = 0.0
        self._behind = Behind(registry, self._shrink)

    def load(self) -> Iterable[Lease]:
        """Every lease on record, expired ones too. Raises OSError when neither record can be read."""
        table = {int(lease.address): lease for lease in self._registry.leases.load()}
        found = self._journal.read()
        if found is None:
            self._book, self._due = dict(table), True
        else:
            self._book = _caught_up(found, self._now())
            self._due = self._book != found.leases
            self._moment = self._moment if self._due or found.moment is None else found.moment
            if found.torn or found.damaged:
                self._mend(found, table)
            else:
                self._book.update((n, lease) for n, lease in table.items() if n not in self._book)
        size = found.end if found is not None and not found.damaged else 0
        if self._due or size > 2 * 64 * len(self._book) + GROWN:
            self._start_anew(size)
        else:
            self._journal.open(size)
            self._fresh = size
        self._behind.put(lease for n, lease in self._book.items() if table.get(n) != lease)
        self._behind.start()
        return list(self._book.values())

    def _mend(self, found: Content, table: dict[int, Lease]) -> None:
        """A crash leaves a torn end, and that is all: what it tore was not ACKed. Anything else is told, and
        of each address what ends last counts."""
        now = self._now().wall
        for number, lease in table.items():
            known = self._book.get(number)
            later = known is None or lease.expires > known.expires
            if later and (known is None or found.damaged or _yields(known, lease, now)):
                self._book[number] = lease
        if found.damaged:
            self._due = True
            aside = self._journal.set_aside()
            text = (
                f"the lease journal was damaged; it was made anew with {len(self._book)} leases"
                f" from its sound parts and the registry. The damaged file is kept: {aside}"
            )
            log.error("%s", text)
            self._registry.events.add(time.time(), "alarm.leases", text, None, None)

    def _start_anew(self, size: int) -> None:
        """Without room on the disk the service starts all the same, and `commit` says what is wrong."""
        try:
            self._rewrite(0, list(self._book.values()))
            self._due = False
        except OSError as error:
            self._due = True
            log.error("the lease journal cannot be written: %s", error)
            if size:
                self._journal.open(size)

    def commit(self, batch: Sequence[Lease]) -> None:
        """Store a batch; it is on disk when this returns. Raises OSError when it could not be stored; then
        none of it is."""
        changed = {int(lease.address): lease for lease in batch}
        with self._lock:
            if self._due:
                self._moment = self._now()
                self._rewrite(0, list({**self._book, **changed}.values()))
                self._due = False
            else:
                self._moment = self._now()
                self._journal.append(frame.write(self._moment, batch))
            self._book.update(changed)
        self._behind.put(batch)

    def taken_back(self) -> Iterable[IPv4Address]:
        """Addresses whose leases a person ended, until that is committed."""
        found = self._registry.leases.taken_back()
        return [address for address in found if not self._behind.has_ended(address)]

    def holder(self, address: IPv4Address, now: float) -> str | None:
        """The MAC that holds this address now, as of the last commit."""
        lease = self._book.get(int(address))
        return lease.mac if lease is not None and lease.state == "bound" and lease.expires > now else None

    def close(self) -> None:
        """Write what waits for the table; safe to call twice."""
        self._behind.close()
        self._journal.close()

    def _shrink(self) -> None:
        """Write the journal anew when most of it is history. Called by the thread behind."""
        if self._due or self._journal.size < 2 * self._fresh + GROWN or time.monotonic() < self._not_before:
            return
        with self._lock:
            start, leases = self._journal.size, list(self._book.values())
        try:
            self._rewrite(start, leases, self._lock)
        except OSError as error:
            self._not_before = time.monotonic() + PAUSE_SECONDS
            log.warning("the lease journal could not be shortened: %s", error)

    def _rewrite(self, start: int, leases: Sequence[Lease], lock: threading.Lock | None = None) -> None:
        """`start`: how much of the old journal these leases stand for; 0: all of it. With `lock`, others may
        append meanwhile."""
        rewrite = Rewrite(self._journal, start if lock is not None else self._journal.size)
        try:
            for first in range(0, max(len(leases), 1), SLICE):
                rewrite.add(frame.write(self._moment, leases[first : first + SLICE]))
                if lock is not None:
                    time.sleep(0.001)  # packets go first
            rewrite.follow()
            if lock is None:
                rewrite.take_over()
            else:
                with lock:
                    rewrite.take_over()
            self._fresh = self._journal.size
        finally:
            rewrite.give_up()


def _yields(known: Lease, other: Lease, now: float) -> bool:
    """Whether nobody loses an address when this other record of it is taken for true."""
    same = (known.mac, known.client_id) == (other.mac, other.client_id)
    return same or known.state == "released" or known.expires <= now


def _caught_up(found: Content, now: Moment) -> dict[int, Lease]:
    """The journal's leases, moved with a clock that was set since the last of them was written."""
    seconds = moment.moved(found.moment, now) if found.moment is not None else 0.0
    if not seconds:
        return dict(found.leases)
    return {
        number: lease
        if lease.expires >= NEVER
        else replace(lease, expires=min(max(lease.expires + seconds, 0.0), NEVER - 1))
        for number, lease in found.leases.items()
    }
