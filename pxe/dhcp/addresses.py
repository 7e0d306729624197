"""Which address a client gets, and whether it may keep the one it names.

RFC 2131 sections 4.3.1 (the order: what it has, what it had, what it asks for, a new one) and 4.3.2. The
laws: a reservation goes to its host and to nobody else; an address in use by another is never promised,
reserved or not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address

from pxe.dhcp.leases import LeaseTable
from pxe.dhcp.ports import Client, Host, Hosts, Lease, Stage
from pxe.dhcp.zones import Place, Zone


@dataclass(slots=True)
class Choice:
    """An address and its zone; without one, `why` says so in words for a person. `full`: a network whose
    pools are used up."""

    address: IPv4Address | None = None
    zone: Zone | None = None
    reserved: bool = False
    why: str = ""
    full: Zone | None = None


class Addresses:
    """Looks at reservations, leases and pools together."""

    def __init__(self, table: LeaseTable, hosts: Hosts) -> None:
        self._table = table
        self._hosts = hosts

    def choose(
        self,
        client: Client,
        host: Host | None,
        place: Place,
        wanted: IPv4Address | None,
        now: float,
        bootp: bool = False,
    ) -> Choice:
        """The address to offer. `bootp`: for ever, so only of a pool where that is allowed."""
        why = ""
        if host is not None and host.address is not None:
            zone = place.zone_of(host.address)
            if zone is None:
                why = f"its reserved {host.address} is not on this network"
            else:
                holder = self._stranger(host.address, client, now)
                if holder is None:
                    return Choice(host.address, zone, True)
                why = f"its reserved {host.address} is still with {holder.mac}"
        zones = place.zones
        if host is None:
            zones = tuple([zone for zone in zones if zone.subnet.unknown])
        if bootp:
            zones = tuple([zone for zone in zones if zone.subnet.bootp])
        if not zones:
            return Choice(why="not registered, and this network is for registered machines only")
        for had in (self._table.known(client), self._table.offered(client, now), wanted):
            if had is not None:
                zone = self._poolable(had, zones, client, now)
                if zone is not None:
                    return Choice(had, zone, False, why)
        address = self._table.pick((pool for zone in zones for pool in zone.pools), now)
        if address is None:
            full = next((zone for zone in zones if zone.pools), None)
            empty = "no pool here" if full is None else "all pools are used up"
            return Choice(why=f"{why}; {empty}" if why else empty, full=full)
        return Choice(address, next(zone for zone in zones if address in zone), False, why)

    def confirm(
        self, client: Client, host: Host | None, place: Place, address: IPv4Address, now: float
    ) -> Choice:
        """Whether a client may (still) use the address it names; `why` it may not is the text of the NAK."""
        zone = place.zone_of(address)
        if zone is None:
            return Choice(why="wrong network")
        own = host.address if host is not None else None
        if own is not None and place.zone_of(own) is not None and self._stranger(own, client, now) is None:
            if own == address:
                return Choice(address, zone, True)
            return Choice(why=f"reserved for you is {own}")
        if host is None and not zone.subnet.unknown:
            return Choice(why="not registered")
        if self._poolable(address, [zone], client, now) is None:
            return Choice(why="not available")
        return Choice(address, zone)

    def _poolable(
        self, address: IPv4Address, zones: Sequence[Zone], client: Client, now: float
    ) -> Zone | None:
        """The zone with a pool that has this address free for this client."""
        for zone in zones:
            if zone.pooled(address):
                kept = int(address) in self._table.never or self._hosts.reserved(address)
                return None if kept or not self._table.belongs(address, client, now) else zone
        return None

    def _stranger(self, address: IPv4Address, client: Client, now: float) -> Lease | None:
        """Who holds a reserved address now and is not the host it is reserved for (by any of its cards)."""
        if self._table.belongs(address, client, now):
            return None
        holder = self._table.holder(address, now)
        if holder is None or holder.state != "bound":
            return holder
        other = self._hosts.find(Client(mac=holder.mac, stage=Stage.SYSTEM, client_id=holder.client_id))
        return None if other is not None and other.address == address else holder
