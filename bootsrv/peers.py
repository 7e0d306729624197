"""Whose IP address it is: TFTP and HTTP know a peer's address, the flight recorder wants a machine.

Our own leases know best, then the registered addresses, then (beside another DHCP server) the kernel's
neighbour table, which has just exchanged packets with that machine.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from pathlib import Path

from bootsrv.names import try_mac
from bootsrv.registry.registry import Registry

NEIGHBOURS = Path("/proc/net/arp")
COMPLETE = 0x2  # ATF_COM in linux/if_arp.h


class Peers:
    """Looks up machines by address. Not shared between threads."""

    def __init__(
        self, registry: Registry, neighbours: Path = NEIGHBOURS, clock: Callable[[], float] = time.time
    ) -> None:
        self._registry, self._neighbours, self._clock = registry, neighbours, clock

    def mac_of(self, address: str, now: float | None = None) -> str | None:
        """The MAC of the machine at `address`, or None."""
        try:
            parsed = IPv4Address(address)
        except AddressValueError:
            return _link_local(address)
        if parsed.is_loopback:
            return None
        holder = self._registry.leases.holder(parsed, self._clock() if now is None else now)
        if holder is not None:
            return holder
        node = self._registry.nodes.by_address(parsed)
        if node is not None and node.macs:
            return node.macs[0]
        return self.neighbour(address)

    def addresses_of(self, mac: str) -> list[str]:
        """The addresses at which the kernel talks to this MAC now."""
        return [fields[0] for fields in self._table() if try_mac(fields[3]) == mac]

    def neighbour(self, address: str) -> str | None:
        """The MAC that the kernel talks to for this address; None: it is on no network of ours."""
        return next((try_mac(fields[3]) for fields in self._table() if fields[0] == address), None)

    def _table(self) -> list[list[str]]:
        try:
            rows = self._neighbours.read_text().splitlines()[1:]
        except FileNotFoundError:
            return []
        found = (row.split() for row in rows)
        return [fields for fields in found if len(fields) >= 4 and int(fields[2], 16) & COMPLETE]


def _link_local(address: str) -> str | None:
    """The MAC in an IPv6 link-local address that was made of one (RFC 4291 appendix A), as firmware's are."""
    try:
        parsed = IPv6Address(address)
    except AddressValueError:
        return None
    own = parsed.packed[8:]
    if not parsed.is_link_local or own[3:5] != b"\xff\xfe":
        return None
    return bytes((own[0] ^ 2, *own[1:3], *own[5:])).hex(":")
