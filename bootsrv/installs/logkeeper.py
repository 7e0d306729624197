"""Keeps what installers say over syslog: their lines as the node's log, what they mean as steps of its
story. Implements `pxe.syslog.ports.LogKeeper`.

The protocol's event loop also answers DHCP, so a call only looks into a set and appends to a queue; one
thread knows whose address it is and writes. The law: only a machine that is being installed is heard.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from bootsrv import lifecycle
from bootsrv.installs.tales import line as tale_of
from bootsrv.model import Node
from bootsrv.peers import Peers
from bootsrv.registry.registry import Registry
from pxe.syslog.wire import Message

log = logging.getLogger(__name__)
LOOK_SECONDS = 0.5
QUEUE = 20_000
TOGETHER = 200  # lines in one transaction
NEIGHBOURS_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class _Line:
    at: float
    node: int
    mac: str
    message: Message


class InstallLog:
    """`start` it, and `close` it to write the rest."""

    def __init__(self, registry: Registry, peers: Peers, clock: Callable[[], float] = time.time) -> None:
        self._registry, self._peers, self._clock = registry, peers, clock
        self._queue: deque[_Line] = deque(maxlen=QUEUE)
        self._wanted: dict[str, tuple[int, str]] = {}  # address -> node, MAC
        self._seen: tuple[int, int] | None = None
        self._looked = 0.0
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="install log", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """Write what is queued and end; waits a few seconds at most."""
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join(5.0)

    def welcome(self, peer: str) -> bool:
        return peer in self._wanted

    def keep(self, peer: str, message: Message) -> None:
        if (who := self._wanted.get(peer)) is not None:
            self._queue.append(_Line(self._clock(), *who, message))

    def _run(self) -> None:
        while not self._closing.wait(LOOK_SECONDS):
            self.work()
        self.work()
        self._registry.close()

    def work(self) -> None:
        """One round: who is welcome now, and what they said."""
        try:
            self._look()
            while self._queue:
                self._write([self._queue.popleft() for _ in range(min(TOGETHER, len(self._queue)))])
        except OSError as error:
            log.warning("the log of an installer could not be kept: %s", error)
        except Exception:  # whatever it was: the next lines are to be kept all the same
            log.exception("the log of an installer could not be kept")

    def _look(self) -> None:
        changes, now = self._registry.changes(), time.monotonic()
        if changes == self._seen and (not self._wanted or now - self._looked < NEIGHBOURS_SECONDS):
            return
        self._seen, self._looked = changes, now
        wanted: dict[str, tuple[int, str]] = {}
        for node in self._registry.nodes.installing():
            for mac, address in self._addresses(node):
                wanted.setdefault(address, (node.id, mac))
        self._wanted = wanted

    def _addresses(self, node: Node) -> list[tuple[str, str]]:
        """Where a machine may speak from: its lease, its own address, what the kernel exchanges with it."""
        found = []
        for mac in node.macs:
            leased = self._registry.leases.of_mac(mac, self._clock())
            found += [(mac, str(leased))] if leased is not None else []
            found += [(mac, address) for address in self._peers.addresses_of(mac)]
        if node.address is not None and node.macs:
            found.append((node.macs[0], str(node.address)))
        return found

    def _write(self, lines: list[_Line]) -> None:
        with self._registry.transaction():
            told: dict[tuple[int, str], list[str]] = {}
            for one in lines:
                said = one.message
                head = f"{said.program}{f'[{said.pid}]' if said.pid else ''}: " if said.program else ""
                told.setdefault((one.node, one.mac), []).append(f"{head}{said.text}\n")
                self._step(one)
            for (node, mac), texts in told.items():
                self._registry.events.log(node, mac, lines[-1].at, "".join(texts))

    def _step(self, one: _Line) -> None:
        tale = tale_of(one.message.program, one.message.text)
        node = self._registry.nodes.get(one.node) if tale is not None else None
        if tale is None or node is None or node.armed is None or node.armed.install is None:
            return
        changed = lifecycle.installing(node, tale.kind, tale.data)
        if changed != node:
            self._registry.nodes.save(changed)
        self._registry.events.add(one.at, tale.kind, tale.text, one.mac, one.node, tale.data)
