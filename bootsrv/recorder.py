"""The flight recorder's pen: takes steps from the protocol engines and writes them to the registry, in
batches.

The engines call it from their event loops, so a call only appends to a queue; one thread looks up whose
machine it was and writes. The law: recording never delays or fails an answer. What cannot be written (disk
full) is lost, but for alarms: they say what was wrong, and are kept until there is room.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bootsrv.discovery import note_sighting
from bootsrv.peers import Peers
from bootsrv.recognition import recognise
from bootsrv.registry.registry import Registry

log = logging.getLogger(__name__)
QUEUE = 50_000
BATCH = 500
RUSH = 400  # steps within a second, after which those that may be left out are
TOGETHER = 50  # steps in one transaction: no lease waits for more than these to be stored
GATHER_SECONDS = 0.05
RETRY_SECONDS = 1.0
ALARMS = 100  # that are kept while nothing can be written


@dataclass(frozen=True, slots=True)
class _Step:
    at: float
    mac: str | None
    address: str | None  # of the peer, where the MAC is not known
    kind: str
    text: str
    data: Mapping[str, Any] = field(default_factory=dict)
    sighting: bool = False  # an unknown machine is to appear on the list
    arch: int | None = None
    known: Sequence[tuple[str, str]] = ()  # identities that led to a node, where its MAC did not
    log: bool = False  # a piece of what the machine says on its console


class Recorder:
    """Implements `pxe.dhcp.ports.Journal` and `pxe.ports.PeerJournal`. `start` it, and `close` it to write
    the rest."""

    def __init__(self, registry: Registry, peers: Peers, clock: Callable[[], float] = time.time) -> None:
        self._registry, self._peers, self._clock = registry, peers, clock
        self._queue: deque[_Step] = deque()  # appending takes no lock that the writing thread could hold
        self._wake, self._closing = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._write_all, name="recorder", daemon=True)
        self.lost = 0
        self._failing = False
        self._second, self._steps = 0, 0

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """Write what is queued and end; waits a few seconds at most."""
        self._closing.set()
        self._wake.set()
        self._thread.join(5.0)

    def rushed(self) -> bool:
        """Whether so many steps came within this second that only machines that boot should be recorded."""
        if int(self._clock()) != self._second:
            self._second, self._steps = int(self._clock()), 0
        return self._steps >= RUSH

    def record(self, mac: str, kind: str, text: str, data: Mapping[str, Any] | None = None) -> None:
        """One step of the machine with this MAC."""
        self._put(_Step(self._clock(), mac, None, kind, text, data or {}))

    def record_peer(self, address: str, kind: str, text: str, data: Mapping[str, Any] | None = None) -> None:
        """One step of the machine that has this IP address."""
        self._put(_Step(self._clock(), None, address, kind, text, data or {}))

    def log(self, mac: str, text: str) -> None:
        """What a machine said on its console."""
        self._put(_Step(self._clock(), mac, None, "", text, log=True))

    def sighting(self, mac: str, arch: int | None, known: Sequence[tuple[str, str]] = ()) -> None:
        """A machine asked what to boot: if nobody knows it, it belongs on the list. `known`: identities, of
        which one is a node's although the MAC is not."""
        self._put(_Step(self._clock(), mac, None, "", "", sighting=True, arch=arch, known=known))

    def _put(self, step: _Step) -> None:
        self._steps += 1
        if len(self._queue) < QUEUE:
            self._queue.append(step)
            if not self._wake.is_set():
                self._wake.set()
            return
        self.lost += 1
        if self.lost % 1000 == 1:
            log.warning("flight recorder: %d steps lost, the registry is too slow", self.lost)

    def _write_all(self) -> None:
        try:
            self._registry.relax()
        except OSError as error:  # it will be slower, no more
            log.warning("flight recorder: %s", error)
        while self._queue or not self._closing.is_set():
            self._wake.wait()
            self._closing.wait(GATHER_SECONDS)
            self._wake.clear()
            while self._queue:
                if not self._write_some([self._queue.popleft() for _ in range(min(BATCH, len(self._queue)))]):
                    if self._closing.wait(RETRY_SECONDS):
                        self._queue.clear()
                    self._wake.set()
                    break
        self._registry.close()

    def _write_some(self, batch: list[_Step]) -> bool:
        """False: not now."""
        try:
            self._write(batch)
        except OSError as error:
            if not self._failing:
                log.error("flight recorder: %s; until that changes, only alarms are kept", error)
            self._failing = True
            alarms = [step for step in batch if step.kind.startswith("alarm.")][-ALARMS:]
            self.lost += len(batch) - len(alarms)
            self._queue.extendleft(reversed(alarms))
            return not alarms
        except Exception:  # whatever it was: the next steps are to be written all the same
            log.exception("flight recorder: %d steps could not be written", len(batch))
        self._failing = False
        return True

    def _write(self, batch: list[_Step]) -> None:
        for first in range(0, len(batch), TOGETHER):
            with self._registry.transaction():
                for step in batch[first : first + TOGETHER]:
                    self._write_one(step)
            time.sleep(0)

    def _write_one(self, step: _Step) -> None:
        mac = step.mac or self._peers.mac_of(step.address or "", step.at)
        if step.sighting and mac is not None:
            if step.known:
                recognise(self._registry, mac, step.known, step.at)
            elif self._registry.identities.guest(mac) is not None:
                self._registry.identities.set_guest(mac, None)
            note_sighting(self._registry, mac, step.at, step.arch)
            return
        node = self._registry.id_of_machine(mac) if mac is not None else None
        if step.log:
            if node is not None and mac is not None:
                self._registry.events.log(node, mac, step.at, step.text)
            return
        data = {**step.data, "address": step.address} if step.address else step.data
        if node is not None:
            self._registry.nodes.touch(node, step.at)
        self._registry.events.add(step.at, step.kind, step.text, mac, node, data)
