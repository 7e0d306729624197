"""The verbs on leases: who has which address of the pools, and giving one back for somebody who cannot."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from ipaddress import IPv4Address

from bootsrv import names
from bootsrv.errors import Conflict, NotFound
from bootsrv.model import Node
from bootsrv.registry.registry import Registry
from pxe.dhcp.ports import Lease


class Leases:
    """Verbs on leases."""

    def __init__(self, registry: Registry, clock: Callable[[], float]) -> None:
        self._registry, self._clock = registry, clock

    def list(self, everything: bool = False) -> Sequence[Lease]:
        """Leases that hold an address now, by address; with `everything` the ended ones too."""
        now = self._clock()
        return [
            lease
            for lease in self._registry.leases.every()
            if everything or (lease.expires > now and lease.state != "released")
        ]

    def held(self, nodes: Sequence[Node]) -> dict[int, IPv4Address]:
        """Node id -> the address that it holds a lease of now; nodes without one are left out."""
        now, known = self._clock(), self._registry.leases
        if len(nodes) == 1:
            every = {mac: address for mac in nodes[0].macs if (address := known.of_mac(mac, now)) is not None}
        else:
            every = known.held(now)
        return {node.id: every[mac] for node in nodes for mac in reversed(node.macs) if mac in every}

    def release(self, address: str | IPv4Address) -> Lease:
        """End a lease, or the rest of an address that was found in use. The DHCP service hears of it within
        seconds. Raises NotFound, or Conflict when nobody holds it."""
        number = names.address(address)
        with self._registry.transaction():
            found = next((lease for lease in self._registry.leases.every() if lease.address == number), None)
            if found is None:
                raise NotFound(f"there is no lease of {number}")
            now = self._clock()
            if found.state == "released" or found.expires <= now:
                raise Conflict(f"the lease of {number} has ended already")
            self._registry.leases.take_back(number, now)
            mac = found.mac or None
            self._registry.events.add(now, "dhcp.released", f"{number} released by hand", mac, None)
        return replace(found, state="released", expires=now)
