"""Runs the one-file agent on a node by its own agent service: an order is made and signed here, the node
comes and takes it over HTTPS, and says how it goes.

The law: an order is for the holder of the token that the node's agent last called with, and is taken back
when nobody waits for it any more. Only who can read the store's private key can make one.
"""

from __future__ import annotations

import hashlib
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from bootsrv.agents import pace
from bootsrv.errors import BootsrvError
from bootsrv.registry.orders import DONE, FAILED, WAITING, AgentCall, OrderRow
from bootsrv.registry.registry import Registry
from bootsrv.remote import Hear
from images.agent import bundle
from images.agent.service.order import Order, ring, sealed

LOOK_SECONDS = 0.25
RING_SECONDS = 2.0


class NotTaken(BootsrvError):
    """The agent never came for the order, so nothing was done."""


class AgentWay:
    """One node, by the last call of its agent. `private` signs."""

    def __init__(
        self, name: str, node: int, call: AgentCall, registry: Registry, private: bytes,
        clock: Callable[[], float],
    ) -> None:  # fmt: skip
        self.name, self._node, self._call = name, node, call
        self._registry, self._private, self._clock = registry, private, clock

    def agent(
        self, words: Sequence[str], task: Mapping[str, Any], opens: Mapping[str, Any], hear: Hear
    ) -> Mapping[str, Any]:
        """Run one command of the agent there; its last report. Each earlier line goes to `hear`. `task` holds
        no secret; `opens` is what the node may fetch meanwhile (`pushstore`).

        Raises NotTaken, or BootsrvError with the node's own words when it fails.
        """
        number = self._make(words[0], task, opens)
        try:
            return self._follow(number, hear)
        finally:
            self._registry.orders.remove(number)

    def _make(self, command: str, task: Mapping[str, Any], opens: Mapping[str, Any]) -> int:
        secret, table = self._call.secret, self._registry.orders
        number = table.new(self._node, secret, opens, self._clock())
        script = hashlib.sha256(bundle.build("")).hexdigest()
        table.seal(number, sealed(Order(number, command, script, dict(task)), secret, self._private))
        return number

    def _follow(self, number: int, hear: Hear) -> Mapping[str, Any]:
        table, made, since, rung = self._registry.orders, self._clock(), 0, float("-inf")
        said: Mapping[str, Any] = {}
        while True:
            found = table.get(number)
            if found is None:
                raise BootsrvError(f"{self.name}: another push of this node has taken the order's place")
            for mark, line in table.said(number, since):
                if said:
                    hear(said)
                since, said = mark, line
            if found.state == DONE:
                return said
            self._judge(found, made)
            if found.state == WAITING and time.monotonic() - rung >= RING_SECONDS:
                rung = time.monotonic()
                self._ring()
            time.sleep(LOOK_SECONDS)

    def _judge(self, found: OrderRow, made: float) -> None:
        now, table = self._clock(), self._registry.orders
        if found.state == FAILED:
            raise BootsrvError(f"{self.name}: {found.error}")
        if found.state != WAITING:
            if pace.silent(found.heard, now):
                raise BootsrvError(
                    f"{self.name}: nothing heard of its agent for {pace.SILENT_SECONDS:.0f} s; what it "
                    "began is completed or undone there, and another push says how it is"
                )
            return
        if pace.overdue(made, now, table.agents()) and table.withdraw(found.number):
            raise NotTaken(
                f"{self.name}: its agent has not asked for this order in {now - made:.0f} s: is it running "
                "(`systemctl status bootsrv-agent` there)? `--via ssh` goes without it"
            )

    def _ring(self) -> None:
        """So that it asks now; where a firewall forbids that, it asks when its pause is over."""
        if not self._call.port:
            return
        family = socket.AF_INET6 if ":" in self._call.address else socket.AF_INET
        with suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as bell:
            bell.sendto(ring(self._call.secret), (self._call.address, self._call.port))
