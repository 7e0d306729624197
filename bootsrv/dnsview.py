"""The registry as DNS sees it (`pxe.dns.ports.Names`): every node's name, the server's own, and what the
configuration adds.

A node without a fixed address has the one it holds a lease on; a lease has the name that DHCP gave it.
Looked up when asked; `revision` tells the engine how long an answer may be kept.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from ipaddress import IPv4Address

from bootsrv import dnsrecords
from bootsrv.config import Config
from bootsrv.model import Node
from bootsrv.registry.registry import Registry
from pxe.dhcp.labels import clean
from pxe.dns.ports import Address, Record
from pxe.dns.zone import Zones

OWN_NAME = "bootsrv"  # the server's name in its domain, as long as no node has it


def zones(config: Config) -> Zones:
    """What we are authoritative for."""
    return Zones(
        config.domain, f"{OWN_NAME}.{config.domain}", tuple(subnet.cidr for subnet in config.subnets)
    )


class HouseNames:
    """Implements `pxe.dns.ports.Names`. `own` gives the server's addresses."""

    def __init__(
        self,
        config: Config,
        registry: Registry,
        own: Callable[[], Sequence[IPv4Address]],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._domain, self._registry, self._own, self._clock = config.domain, registry, own, clock
        self._written = dnsrecords.table(config.dns.records, config.domain)
        self._above = {above for name in self._written for above in _names_above(name)}
        self._seen: tuple[int, int] | None = None
        self._revision = 0

    def revision(self) -> int:
        """Changes with any name or address; read again only when something was written at all."""
        seen = self._registry.changes()
        if seen != self._seen:
            self._revision, self._seen = self._registry.leases.names_revision(), seen
        return self._revision

    def lookup(self, name: str) -> Sequence[Record] | None:
        """A node's or our own address, and what the configuration has."""
        written = self._written.get(name, ())
        found = self._living(name)
        if found and written and written[0].type == "CNAME":
            return found  # a node took the name of an alias: one of the two has to give way
        if found is None and not written:
            return () if name in self._above else None
        return (*(found or ()), *written)

    def _living(self, name: str) -> Sequence[Record] | None:
        """What the registry and the leases know."""
        if name == self._domain:
            return ()
        label = name.removesuffix(f".{self._domain}")
        node = self._registry.nodes.by_name(label)
        if node is not None:
            address = self._address(node)
            return (Record("A", str(address)),) if address is not None else ()
        if label == OWN_NAME:
            return tuple(Record("A", str(address)) for address in self._own())
        leased = self._registry.leases.named(label, self._clock())
        return (Record("A", str(leased)),) if leased is not None else None

    def pointer(self, address: Address) -> str | None:
        """Whose address it is."""
        if not isinstance(address, IPv4Address):
            return None
        if address in self._own():
            return f"{OWN_NAME}.{self._domain}"
        node = self._registry.nodes.by_address(address)
        if node is None:
            holder = self._registry.leases.holder(address, self._clock())
            node = self._registry.nodes.by_mac(holder) if holder is not None else None
        if node is not None and node.name:
            return f"{node.name}.{self._domain}"
        name = self._registry.leases.name_of(address, self._clock())
        # A lease of before names were cleaned may hold anything.
        return f"{name}.{self._domain}" if name and name == clean(name) else None

    def _address(self, node: Node) -> IPv4Address | None:
        if node.address is not None:
            return node.address
        now = self._clock()
        return next((a for mac in node.macs if (a := self._registry.leases.of_mac(mac, now))), None)


def _names_above(name: str) -> list[str]:
    """_http._tcp.cluster.test -> _tcp.cluster.test, cluster.test, test: they exist, if only as the way there
    (RFC 8020)."""
    labels = name.split(".")
    return [".".join(labels[at:]) for at in range(1, len(labels))]
