"""What to answer to a question. Pure: a Query in, an Answer or Forward out.

Authoritative for our zones (RFC 1034 §4.3.2): NXDOMAIN and empty answers carry the SOA (RFC 2308), a name
above an existing one exists (RFC 8020), ANY gets one type (RFC 8482), transfers are refused. Everything else
is forwarded for clients of our own networks, when that is switched on, and refused for all others: this is
never an open resolver.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from ipaddress import ip_address

from pxe.dns import wire
from pxe.dns.ports import Names, Record
from pxe.dns.wire import Answer, Query
from pxe.dns.zone import Zones, address_of

_IN = 1
_CHAIN = 8  # CNAMEs followed
_PEERS = 10_000  # of which it is remembered whether they are near
Entry = tuple[str, int, Record]


@dataclass(frozen=True, slots=True)
class Forward:
    """Ask another server."""


class Resolver:
    """Answers from `names`. `forwarding`: whether other names are forwarded for clients in the zones'
    networks."""

    def __init__(self, zones: Zones, names: Names, forwarding: bool = False) -> None:
        self._zones, self._names, self._forwarding = zones, names, forwarding
        self._near: dict[str, bool] = {}
        self._apexes = frozenset({zones.domain, *zones.reverse()})

    def may_recurse(self, peer: str) -> bool:
        """Whether a client's other names are looked up for it."""
        return self._forwarding and self.near(peer)

    def near(self, peer: str) -> bool:
        """Whether an IP address is this machine's own, or in the zones' networks."""
        near = self._near.get(peer)
        if near is None:
            address = ip_address(peer)
            near = address.is_loopback or any(address in network for network in self._zones.networks)
            if len(self._near) >= _PEERS:
                self._near.clear()
            self._near[peer] = near
        return near

    def resolve(self, query: Query, peer: str) -> Answer | Forward:
        """The answer for a client at IP address `peer`."""
        recursion = self.may_recurse(peer)
        refusal = _refusal(query)
        if refusal is not None:
            return Answer(refusal, recursion_available=recursion)
        name = query.name
        if self._apex(name if name is not None else _printable(query)) is None:
            if recursion and query.recursion_desired:
                return Forward()
            return Answer(wire.REFUSED, recursion_available=recursion)
        return replace(self._authority(query), recursion_available=recursion)

    def _apex(self, name: str) -> str | None:
        """The zone that a name belongs to: the longest of ours."""
        while name:
            if name in self._apexes:
                return name
            name = name.partition(".")[2]
        return None

    def _authority(self, query: Query) -> Answer:
        name = query.name
        if name is None:  # bytes that no name of ours holds
            return self._negative((), wire.NXDOMAIN, self._apex(_printable(query)) or self._zones.domain)
        found, rcode, apex = self._chain(name, query.qtype)
        if apex is not None:
            return self._negative(found, rcode, apex)
        return Answer(authoritative=True, answer=found, additional=self._glue(found))

    def _negative(self, found: tuple[Entry, ...], rcode: int, apex: str) -> Answer:
        soa = (apex, self._zones.negative_ttl, self._soa(apex))
        return Answer(rcode, True, answer=found, authority=(soa,))

    def _chain(self, name: str, qtype: int) -> tuple[tuple[Entry, ...], int, str | None]:
        """The records, behind CNAMEs if need be; and, where that led to nothing, the rcode and the zone."""
        found: list[Entry] = []
        for _ in range(_CHAIN):
            apex = self._apex(name)
            if apex is None:
                break  # a CNAME out of our zones: the client looks further itself
            records = self._records(name, apex)
            if records is None:
                return tuple(found), wire.NXDOMAIN, apex
            wanted = _of_type(records, qtype)
            if wanted:
                found += [(name, self._ttl(record), record) for record in wanted]
                break
            alias = next((record for record in records if record.type == "CNAME"), None)
            if alias is None:
                return tuple(found), wire.NOERROR, apex
            found.append((name, self._ttl(alias), alias))
            name = alias.data.lower()
        return tuple(found), wire.NOERROR, None

    def _records(self, name: str, apex: str) -> tuple[Record, ...] | None:
        own = (self._soa(apex), Record("NS", self._zones.server)) if name == apex else ()
        if apex == self._zones.domain:
            found = self._names.lookup(name)
            return (*own, *found) if found is not None else (own or None)
        address = address_of(name)
        if address is None:
            whole = len(name.split(".")) >= (6 if apex.endswith(".in-addr.arpa") else 34)
            return None if whole else own  # a name above addresses exists, without records
        pointer = self._names.pointer(address)
        return None if pointer is None else (Record("PTR", pointer),)

    def _glue(self, found: tuple[Entry, ...]) -> tuple[Entry, ...]:
        """Addresses of the names that SRV and NS records point at, which the client asks for next."""
        glue: list[Entry] = []
        for _, _, record in found:
            target = record.data.rpartition(" ")[2].lower() if record.type in ("SRV", "NS") else ""
            if target and self._apex(target) == self._zones.domain:
                more = self._names.lookup(target) or ()
                glue += [(target, self._ttl(r), r) for r in more if r.type in ("A", "AAAA")]
        return tuple(dict.fromkeys(glue))

    def _ttl(self, record: Record) -> int:
        return self._zones.ttl if record.ttl is None else record.ttl

    def _soa(self, apex: str) -> Record:
        z = self._zones
        serial = self._names.revision() & 0xFFFFFFFF
        return Record(
            "SOA", f"{z.server} hostmaster.{z.domain} {serial} 3600 600 86400 {z.negative_ttl}", z.ttl
        )


def _refusal(query: Query) -> int | None:
    if query.edns is not None and query.edns.version:
        return wire.BADVERS
    if query.opcode:
        return wire.NOTIMP
    if query.qclass not in (_IN, wire.ANY) or query.qtype in (wire.AXFR, wire.IXFR):
        return wire.REFUSED
    return None


def _of_type(records: tuple[Record, ...], qtype: int) -> list[Record]:
    if qtype == wire.ANY and records:
        return [record for record in records if record.type == records[0].type]
    return [record for record in records if wire.type_number(record.type) == qtype]


def _printable(query: Query) -> str:
    """A name with odd bytes, only to find the zone that it would be in."""
    return ".".join(label.decode("latin-1").replace(".", "?") for label in query.labels)
