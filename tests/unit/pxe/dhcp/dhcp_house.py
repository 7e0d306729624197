"""A small house for the DHCP tests: hosts, boot files, leases and journal in memory, and packets as clients
send them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, IPv4Interface
from typing import Any

from pxe.dhcp import codes, wire
from pxe.dhcp.codes import Kind
from pxe.dhcp.outcome import Outcome
from pxe.dhcp.ports import BootFile, Client, Host, Lease, Stage
from pxe.dhcp.replies import Reply
from pxe.dhcp.responder import Responder
from pxe.dhcp.subnet import build_subnet
from pxe.dhcp.wire import Packet
from pxe.dhcp.zones import Arrival

SERVER = IPv4Address("10.77.0.1")
MAC = "52:54:00:00:00:01"
OTHER = "52:54:00:00:00:02"
START = 1_700_000_000.0
FIRST = IPv4Address("10.77.0.100")  # of the pool
RESERVED = IPv4Address("10.77.0.11")  # of the network, and of no pool
FAR = IPv4Address("10.99.0.1")  # of another network
HOST = Host("n1", RESERVED)


@dataclass
class House:
    """All four ports."""

    hosts: dict[str, Host] = field(default_factory=dict)  # by MAC
    boot: bool = True
    kept: dict[IPv4Address, Lease] = field(default_factory=dict)
    full: bool = False  # the disk
    events: list[tuple[str, str, str, Mapping[str, Any] | None]] = field(default_factory=list)
    commits: int = 0
    back: list[IPv4Address] = field(default_factory=list)  # taken back by a person

    def look(self) -> None:
        pass

    def rushed(self) -> bool:
        return False

    def find(self, client: Client) -> Host | None:
        return self.hosts.get(client.mac)

    def reserved(self, address: IPv4Address) -> bool:
        return any(host.address == address for host in self.hosts.values())

    def named(self, name: str) -> bool:
        return any(host.name == name for host in self.hosts.values())

    def decide(self, client: Client, server: IPv4Address) -> BootFile | None:
        if not self.boot:
            return None
        if client.stage is Stage.IPXE or client.http_boot:
            return BootFile(f"http://{server}:8080/boot/{client.mac}", server, "for the test")
        return BootFile("undionly.kpxe" if not client.arch else "snponly.efi", server)

    def load(self) -> Iterable[Lease]:
        return list(self.kept.values())

    def taken_back(self) -> Iterable[IPv4Address]:
        return list(self.back)

    def commit(self, batch: Sequence[Lease]) -> None:
        if self.full:
            raise OSError(28, "No space left on device")
        self.commits += 1
        self.kept.update({lease.address: lease for lease in batch})

    def record(self, mac: str, kind: str, text: str, data: Mapping[str, Any] | None = None) -> None:
        self.events.append((mac, kind, text, data))


TABLE: dict[str, Any] = {
    "cidr": "10.77.0.0/24",
    "mode": "authoritative",
    "pools": ["10.77.0.100-10.77.0.199"],
    "routers": ["10.77.0.1"],
}


class Net:
    """A responder with one subnet, talked to as a client would."""

    def __init__(self, house: House | None = None, *more: Mapping[str, Any], **changes: Any) -> None:
        self.house = house or House()
        subnets = [build_subnet({**TABLE, **changes}), *(build_subnet(table) for table in more)]
        self.responder = Responder(subnets, "cluster.test", self.house, self.house, self.house.load())
        self.responder.table.never.add(int(SERVER))
        self.now = START
        self.arrival = Arrival("br0", (IPv4Interface("10.77.0.1/24"),))

    def handle(self, packet: Packet, **arrival: Any) -> Outcome:
        """As the server does: parse what was built, decide, store."""
        parsed = wire.parse(wire.build(packet, 1400))
        out = self.responder.handle(parsed, replace(self.arrival, **arrival), self.now)
        self.house.commit([change.lease for change in out.changes])
        return out

    def ask(self, packet: Packet, **arrival: Any) -> Reply | None:
        """The one answer, or None for silence."""
        replies = self.handle(packet, **arrival).replies
        assert len(replies) <= 1
        for reply in replies:
            data, _dropped = wire.build_fitting(reply.packet, reply.limit, frozenset())
            assert wire.parse(data).xid == packet.xid
        return replies[0] if replies else None

    def lease(self, mac: str = MAC, **fields: Any) -> IPv4Address:
        """DISCOVER, OFFER, REQUEST, ACK; the address."""
        offer = self.ask(discover(mac, **fields))
        assert offer is not None and offer.kind is Kind.OFFER, offer
        ack = self.ask(select(offer, mac, **fields))
        assert ack is not None and ack.kind is Kind.ACK, ack
        assert ack.packet.yiaddr == offer.packet.yiaddr
        return ack.packet.yiaddr


def message(
    kind: Kind | None, mac: str = MAC, options: Mapping[int, bytes] | None = None, **fields: Any
) -> Packet:
    """A request of any kind. `fields` are those of Packet."""
    body: dict[int, bytes] = {} if kind is None else {codes.MESSAGE_TYPE: bytes((kind,))}
    body.update(options or {})
    return Packet(**{"xid": 0x1234, "chaddr": bytes.fromhex(mac.replace(":", "")), "options": body, **fields})


def discover(mac: str = MAC, options: Mapping[int, bytes] | None = None, **fields: Any) -> Packet:
    return message(Kind.DISCOVER, mac, options, **fields)


def select(offer: Reply, mac: str = MAC, options: Mapping[int, bytes] | None = None, **fields: Any) -> Packet:
    """The REQUEST that takes an offer (SELECTING)."""
    chosen = {
        codes.REQUESTED_ADDRESS: offer.packet.yiaddr.packed,
        codes.SERVER_ID: offer.packet.options[codes.SERVER_ID],
    }
    return message(Kind.REQUEST, mac, {**chosen, **(options or {})}, **fields)


def pxe(arch: int = 7, uuid: bytes = bytes(range(16)), **more: bytes) -> dict[int, bytes]:
    """Options of PXE firmware."""
    return {
        codes.PARAMETER_LIST: bytes((1, 3, 6, 15, 43, 60, 66, 67)),
        codes.MAX_SIZE: (1472).to_bytes(2, "big"),
        codes.VENDOR_CLASS: f"PXEClient:Arch:{arch:05}:UNDI:003016".encode(),
        codes.ARCH: arch.to_bytes(2, "big"),
        codes.CLIENT_INTERFACE: b"\x01\x03\x10",
        codes.CLIENT_UUID: b"\0" + uuid,
    }


def http(arch: int = 16) -> dict[int, bytes]:
    """Options of UEFI HTTP Boot."""
    return {**pxe(arch), codes.VENDOR_CLASS: f"HTTPClient:Arch:{arch:05}:UNDI:003001".encode()}


def ipxe(version: tuple[int, int, int] = (1, 21, 1), arch: int = 7, ntp: bool = True) -> dict[int, bytes]:
    """Options of iPXE. Without `ntp` it is one from before 2021."""
    features = bytes((235, 3, *version, 19, 1, 1, 24, 1, 1))
    asks = bytes((1, 3, 6, 15, *([42] if ntp else []), 43, 60, 66, 67, 175))
    return {**pxe(arch), codes.USER_CLASS: b"iPXE", codes.IPXE: features, codes.PARAMETER_LIST: asks}
