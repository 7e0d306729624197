"""The zones that we answer for: the appliance's domain and the reverse zones of its networks. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from pxe.dns.ports import Address

Network = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class Zones:
    """What we are authoritative for. All times in seconds."""

    domain: str
    server: str  # our own name, fully qualified: the NS and the SOA's first name
    networks: tuple[Network, ...] = ()
    ttl: int = 60  # leases change hands; resolvers on the nodes should not lag behind
    negative_ttl: int = 30

    def reverse(self) -> tuple[str, ...]:
        """The reverse zones of all networks."""
        return tuple(zone for network in self.networks for zone in reverse_zones(network))


def reverse_zones(network: Network) -> Iterable[str]:
    """The zones that cover a network, on label boundaries: a /22 is four zones, a /26 is the /24 around it.

    >>> list(reverse_zones(IPv4Network("10.77.0.0/24")))
    ['0.77.10.in-addr.arpa']
    """
    bits, step = (8, 8) if isinstance(network, IPv4Network) else (4, 4)
    prefix = -(-network.prefixlen // step) * step
    whole = min(prefix, network.max_prefixlen - bits)  # a zone for a single address helps nobody
    if network.prefixlen > whole:
        network = network.supernet(new_prefix=whole)
    for part in network.subnets(new_prefix=whole):
        yield ".".join(
            part.network_address.reverse_pointer.split(".")[(part.max_prefixlen - whole) // step :]
        )


def address_of(name: str) -> Address | None:
    """The address that a reverse name stands for; None: not the whole of one."""
    labels = name.split(".")
    try:
        if name.endswith(".in-addr.arpa") and len(labels) == 6:
            address = IPv4Address(".".join(reversed(labels[:4])))
        elif name.endswith(".ip6.arpa") and len(labels) == 34:
            digits = "".join(reversed(labels[:32]))
            return IPv6Address(":".join(digits[i : i + 4] for i in range(0, 32, 4)))
        else:
            return None
    except ValueError:
        return None
    return address if address.reverse_pointer == name else None
