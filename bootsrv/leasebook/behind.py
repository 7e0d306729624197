"""Brings the registry's lease table up to date behind the journal, in a thread of its own.

The laws: of each address only the newest lease is written, so what waits is bounded by the addresses; what
cannot be written (disk full, registry busy) waits and is tried again; nobody waits for this.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from ipaddress import IPv4Address
from itertools import islice

from bootsrv.registry.registry import Registry
from pxe.dhcp.ports import Lease

log = logging.getLogger(__name__)
GATHER_SECONDS = 0.02
TOGETHER = 512  # leases in one transaction
RETRY_SECONDS = 1.0
CLOSE_SECONDS = 10.0


class Behind:
    """`start` it, `put` leases, `close` it to write the rest. `idle` is called after each round, in its
    thread."""

    def __init__(self, registry: Registry, idle: Callable[[], None]) -> None:
        self._registry, self._idle = registry, idle
        self._waiting: dict[int, Lease] = {}
        self._ended: set[int] = set()  # addresses that were released since they were last written
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="leases", daemon=True)
        self._thread.start()

    def put(self, leases: Iterable[Lease]) -> None:
        """These are to be in the table soon."""
        with self._lock:
            for lease in leases:
                number = int(lease.address)
                self._waiting[number] = lease
                if lease.state == "released":
                    self._ended.add(number)
        if not self._wake.is_set():
            self._wake.set()

    def has_ended(self, address: IPv4Address) -> bool:
        """Whether a release of this address still waits for the table, perhaps behind a newer lease."""
        return int(address) in self._ended

    def close(self) -> None:
        """Write what waits and end."""
        self._closing.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join(CLOSE_SECONDS)
            self._thread = None

    def _run(self) -> None:
        told = False
        try:
            self._registry.relax()
        except OSError as error:  # it will be slower, no more
            log.warning("lease table: %s", error)
        while not self._closing.is_set() or self._waiting:
            self._wake.wait()
            self._closing.wait(GATHER_SECONDS)
            self._wake.clear()
            try:
                while self._write_some():
                    pass
                told = False
                self._idle()
            except OSError as error:
                if not told:
                    log.error("lease table: %s; the journal has them, and it is tried again", error)
                told = True
                if self._closing.wait(RETRY_SECONDS):
                    break
                self._wake.set()
        self._registry.close()

    def _write_some(self) -> bool:
        """One transaction; False when nothing waits."""
        with self._lock:
            some = dict(islice(self._waiting.items(), TOGETHER))
            ended = self._ended & some.keys()
        if not some:
            return False
        self._registry.leases.follow(list(some.values()), ended)
        with self._lock:
            for number, lease in some.items():
                if self._waiting.get(number) is lease:
                    del self._waiting[number]
                    self._ended.discard(number)
        return True
