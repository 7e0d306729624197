"""Other DHCP servers where we are the authority: looked for before we serve, again and again while we do, and
heard of when a client takes one's address.

Two authorities on one network give machines wrong addresses and no boot. Needs CAP_NET_RAW. The law: a server
that answers is told within LATEST seconds of its first answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from ipaddress import IPv4Address

from pxe.dhcp import probe
from pxe.dhcp.sockets import Port
from pxe.dhcp.subnet import Mode
from pxe.dhcp.zones import Zones

EVERY_SECONDS = 30.0  # from one look to the next
LATEST = 60.0


class Rivals:
    """`ports` and `zones` are the server's own; a look takes `seconds`. `alarm` takes kind and text."""

    def __init__(
        self, ports: Sequence[Port], zones: Zones, seconds: float, alarm: Callable[[str, str], None]
    ) -> None:
        self._ports, self._zones, self._seconds, self._alarm = ports, zones, seconds, alarm

    async def found(self) -> list[probe.Found]:
        """Who answers now. Raises OSError."""
        names = []
        for port in self._ports:
            zone = self._zones.local(port.interface.name, port.addresses)
            if zone is not None and zone.subnet.mode is Mode.AUTHORITATIVE:
                names.append(port.interface.name)
        found = await asyncio.gather(*(probe.probe(name, self._seconds, self._ours()) for name in names))
        return [server for servers in found for server in servers]

    def _ours(self) -> list[IPv4Address]:
        """We may be on one wire with two interfaces, and answer on both."""
        return [own.ip for port in self._ports for own in port.addresses]

    async def watch(self, every: float = EVERY_SECONDS) -> None:
        """Somebody may plug in another server at any time; then machines get its addresses, and no boot."""
        while True:
            await asyncio.sleep(every - self._seconds)
            try:
                found = await self.found()
            except OSError as error:
                self._alarm("alarm.interface", f"cannot look for other DHCP servers: {error}")
                continue
            for server in found:
                self._alarm("alarm.foreign", f"{server}; machines may get its addresses instead of ours")

    def heard_of(self, server: IPv4Address, interface: str) -> None:
        """A client chose another server: sooner news than a look's, and the only news of one that answers
        certain machines only, or behind a relay."""
        if server in self._ours():
            return
        text = f"a machine on {interface} took the address of a DHCP server at {server} instead of ours"
        self._alarm("alarm.foreign", text)
