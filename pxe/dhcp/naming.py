"""What a client is called: by the registry, by itself, or by its address; and the answer to its FQDN option.

RFC 1123 section 2.1 (what a name may be), RFC 4702 (option 81: who keeps the DNS, in which encoding). The
laws: a registered name goes to its node and to nobody else; no two leases have one name at the same time;
what a client calls itself is never more than one clean label. Pure.
"""

from __future__ import annotations

from ipaddress import IPv4Address

from pxe.dhcp.labels import LONGEST, clean, dashed, from_pattern
from pxe.dhcp.leases import LeaseTable
from pxe.dhcp.ports import Client, Host, Hosts, Lease
from pxe.dhcp.subnet import Subnet

# Names that make other machines trust whoever has them (web proxies, tunnels, themselves).
NEVER = frozenset({"wpad", "isatap", "localhost", "broadcasthost"})
SERVER_KEEPS, OVERRIDDEN, WIRE, NO_UPDATE = 0x01, 0x02, 0x04, 0x08  # flags S, O, E, N (RFC 4702 section 2.1)


class Naming:
    """Names of those who hold a lease."""

    def __init__(self, table: LeaseTable, hosts: Hosts) -> None:
        self._table, self._hosts = table, hosts
        self._holders: dict[str, IPv4Address] = {}
        self._names: dict[IPv4Address, str] = {}

    def load(self, lease: Lease) -> None:
        """One lease on record."""
        if lease.state == "bound" and lease.hostname:
            self.keep(lease.hostname, lease.address)

    def name(
        self, client: Client, host: Host | None, address: IPv4Address, subnet: Subnet, now: float
    ) -> str:
        """What this client is called while it holds `address`; "" when it has no name."""
        if host is not None and host.name:
            return host.name
        made = from_pattern(subnet.dynamic_names, client.mac, address) if subnet.dynamic_names else ""
        own = clean(client.hostname) if subnet.client_names and not refuses_dns(client.fqdn) else ""
        tries = (own, made or (_with(own, address) if own else ""))
        return next((each for each in tries if each and self._free(each, address, now)), "")

    def keep(self, name: str, address: IPv4Address) -> None:
        """The lease of this address has this name from now on."""
        before = self._names.pop(address, None)
        if before is not None and self._holders.get(before) == address:
            del self._holders[before]
        if name:
            self._names[address], self._holders[name] = name, address

    def _free(self, name: str, address: IPv4Address, now: float) -> bool:
        if name in NEVER or self._hosts.named(name):
            return False
        other = self._holders.get(name)
        if other is None or other == address:
            return True
        lease = self._table.holder(other, now)
        return lease is None or lease.state != "bound" or lease.hostname != name


def _with(label: str, address: IPv4Address) -> str:
    tail = f"-{dashed(address)}"
    return f"{label[: LONGEST - len(tail)].rstrip('-')}{tail}"


def refuses_dns(fqdn: bytes) -> bool:
    """Whether the client asks that no DNS records are kept for it (N)."""
    return bool(fqdn) and bool(fqdn[0] & NO_UPDATE)


def answer_fqdn(asked: bytes, name: str, domain: str) -> bytes:
    """Option 81 of the reply (RFC 4702 section 4): we keep the records of those that have a name in our
    domain, whoever wants to; the obsolete result codes are 255. Empty for a question that is none."""
    if len(asked) < 3:
        return b""
    theirs = asked[0]
    keeps = bool(name and domain)
    flags = theirs & WIRE | (SERVER_KEEPS if keeps else NO_UPDATE)
    if keeps != bool(theirs & SERVER_KEEPS):
        flags |= OVERRIDDEN
    full = f"{name}.{domain}" if keeps else name
    if not theirs & WIRE:
        return bytes((flags, 255, 255)) + full.encode()
    labels = [label.encode() for label in full.split(".") if label]
    wire = b"".join(bytes((len(label),)) + label for label in labels)
    return bytes((flags, 255, 255)) + wire + (b"\0" if keeps else b"")
