"""Which network a packet belongs to, and what is ready-made for it.

RFC 2131 section 4.3.1 (giaddr, else the receiving interface), RFC 3527 (a relay says the link). The law: a
client never chooses its network itself, only its relay or the interface does; without a match nobody is
answered.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface

from pxe.dhcp import codes, options
from pxe.dhcp.pool import FreeAddresses
from pxe.dhcp.subnet import Subnet
from pxe.dhcp.wire import NO_ADDRESS, Packet

Ours = tuple[IPv4Interface, ...]


@dataclass(frozen=True, slots=True)
class Arrival:
    """How a datagram came in. `addresses` are ours on that interface, the primary one first."""

    interface: str
    addresses: tuple[IPv4Interface, ...]
    port: int = 67
    source: IPv4Address = NO_ADDRESS
    source_port: int = 68


@dataclass(frozen=True, slots=True, eq=False)
class Zone:
    """A subnet with its free addresses and its options as they go out."""

    subnet: Subnet
    first: int
    last: int
    pools: tuple[FreeAddresses, ...]
    options: Mapping[int, bytes]

    def __contains__(self, address: IPv4Address) -> bool:
        return self.first <= int(address) <= self.last

    def pooled(self, address: IPv4Address) -> bool:
        """Whether the address may be given to clients without a reservation."""
        number = int(address)
        for pool in self.pools:  # noqa: SIM110 - a generator costs more than the comparison
            if pool.first <= number <= pool.last:
                return True
        return False


@dataclass(frozen=True, slots=True)
class Place:
    """Where a client is: the zones of its wire (most often one), and our address towards it."""

    zones: tuple[Zone, ...]
    server: IPv4Address

    @property
    def home(self) -> Zone:
        return self.zones[0]

    def zone_of(self, address: IPv4Address) -> Zone | None:
        """The zone an address is in, if it can be used where the client is."""
        number = int(address)
        for zone in self.zones:
            if zone.first <= number <= zone.last:
                return zone
        return None


def make_zone(subnet: Subnet, domain: str) -> Zone:
    """Everything about a subnet that does not change from packet to packet."""
    ready: dict[int, bytes] = {
        codes.SUBNET_MASK: subnet.cidr.netmask.packed,
        codes.BROADCAST_ADDRESS: subnet.cidr.broadcast_address.packed,
    }
    if subnet.routers:
        ready[codes.ROUTERS] = b"".join(router.packed for router in subnet.routers)
    if domain:
        ready[codes.DOMAIN_NAME] = domain.encode()
    ready.update(options.encode(name, value) for name, value in subnet.options.items())
    return Zone(
        subnet,
        int(subnet.cidr.network_address),
        int(subnet.cidr.broadcast_address),
        tuple(FreeAddresses(int(pool.first), int(pool.last)) for pool in subnet.pools),
        ready,
    )


class Zones:
    """All zones; finds the place of a packet."""

    def __init__(self, subnets: Iterable[Subnet], domain: str) -> None:
        self.all = tuple(make_zone(subnet, domain) for subnet in subnets)
        # What was found before, for clients on an interface and for those behind a relay, and with which
        # addresses of ours; compared by identity, since hashing an IPv4Interface costs more than the rest.
        self._local: dict[str, tuple[Ours, Place | None]] = {}
        self._remote: dict[int, tuple[Ours, Place | None]] = {}

    def place(self, packet: Packet, arrival: Arrival, link: bytes | None) -> Place | None:
        """The client's place, or None where we have nothing to say. `link`: sub-option 82.5 of a relay."""
        if not arrival.addresses:
            return None
        if packet.giaddr != NO_ADDRESS:
            return self._routed(options.address_of(link) or packet.giaddr, arrival)
        # A renewal comes straight to us from behind a router, no relay in between (RFC 2131 section 4.3.2).
        if packet.ciaddr != NO_ADDRESS and packet.ciaddr == arrival.source:
            place = self._routed(packet.ciaddr, arrival)
            if place is not None:
                return place
        ours, place = self._local.get(arrival.interface, (None, None))
        if ours is not arrival.addresses:
            place = self._find_local(arrival)
            self._local[arrival.interface] = arrival.addresses, place
        return place

    def local(self, interface: str, addresses: tuple[IPv4Interface, ...]) -> Zone | None:
        """The zone of clients that are directly on this interface."""
        place = self._find_local(Arrival(interface, addresses)) if addresses else None
        return place.home if place is not None else None

    def _routed(self, address: IPv4Address, arrival: Arrival) -> Place | None:
        ours, place = self._remote.get(int(address), (None, None))
        if ours is not arrival.addresses:
            if len(self._remote) > 256:
                self._remote.clear()
            place = self._find_routed(address, arrival)
            self._remote[int(address)] = arrival.addresses, place
        return place

    def _find_routed(self, address: IPv4Address, arrival: Arrival) -> Place | None:
        zone = next((zone for zone in self.all if address in zone), None)
        if zone is None:
            return None
        ours = next((own.ip for own in arrival.addresses if own.ip in zone), arrival.addresses[0].ip)
        return Place(self._wire(zone), ours)

    def _find_local(self, arrival: Arrival) -> Place | None:
        for own in arrival.addresses:
            for zone in self.all:
                if own.ip in zone and zone.subnet.interface in (None, arrival.interface):
                    return Place(self._wire(zone), own.ip)
        for zone in self.all:
            if zone.subnet.interface == arrival.interface:
                return Place(self._wire(zone), arrival.addresses[0].ip)
        return None

    def _wire(self, zone: Zone) -> tuple[Zone, ...]:
        if not zone.subnet.shared:
            return (zone,)
        others = (o for o in self.all if o is not zone and o.subnet.shared == zone.subnet.shared)
        return (zone, *others)
