"""One machine's DHCP as its firmware does it: DISCOVER, OFFER, REQUEST, ACK, with the firmware's patience.

RFC 2131 sections 3.1 and 4.4, PXE 2.1 chapter 2: each message is sent four times, with 4, 8, 16 and 32
seconds to wait for its answer. Pure: no sockets, `now` (seconds) is an argument. The law: it ends in
`lease` or `failed` after a bounded time, whatever arrives; only answers of the named server count.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum, auto
from ipaddress import IPv4Address, IPv4Interface

from pxe.dhcp import codes, options
from pxe.dhcp.codes import Kind
from pxe.dhcp.wire import BROADCAST, NO_ADDRESS, REPLY, Packet

WAITS = (4.0, 8.0, 16.0, 32.0)  # for both messages, as EDK2 has it
MAX_RESTARTS = 3  # NAKs, and offers that lead nowhere

_WANTED = (1, 2, 3, 4, 5, 6, 11, 12, 13, 15, 16, 17, 18, 42, 43, 54, 60, 66, 67, 97, 128, 129, 130, 131)
_IPXE_FEATURES = bytes((19, 1, 1, 24, 1, 1, 36, 1, 1, 235, 3, 1, 21, 1))  # HTTP, bzImage/EFI, version 1.21.1


class Who(Enum):
    """The program on the machine that asks."""

    FIRMWARE = auto()
    IPXE = auto()


@dataclass(frozen=True, slots=True)
class Identity:
    """What a machine says of itself. `arch` is the IANA processor architecture (0 BIOS, 7 x64 UEFI)."""

    mac: bytes
    arch: int = 7

    @property
    def uuid(self) -> bytes:
        """A stable SMBIOS UUID made from the MAC."""
        return b"bootsrvstm" + self.mac


@dataclass(frozen=True, slots=True)
class Lease:
    """What the machine was told."""

    address: IPv4Interface
    server: IPv4Address
    boot_server: IPv4Address
    filename: str
    seconds: int


class DhcpClient:
    """Call `start`, then `receive` and, at `deadline`, `tick`; each may give a packet to broadcast."""

    def __init__(
        self, who: Who, identity: Identity, xid: int, server: IPv4Address, patience: float = 1.0
    ) -> None:
        """`patience` shortens (< 1) or stretches every wait."""
        self._who, self._identity, self._xid, self._server = who, identity, xid, server
        self._patience = patience
        self._started = 0.0
        self._waits: list[float] = []
        self._sent: Packet | None = None
        self._restarts = 0
        self.deadline: float | None = None
        self.lease: Lease | None = None
        self.failed = ""
        self.retransmits = 0

    @property
    def done(self) -> bool:
        return self.lease is not None or bool(self.failed)

    def start(self, now: float) -> Packet:
        """The first DISCOVER."""
        self._started = now
        return self._begin(now)

    def _begin(self, now: float) -> Packet:
        self._waits = [wait * self._patience for wait in WAITS]
        return self._send(self._packet(Kind.DISCOVER), now)

    def _send(self, packet: Packet, now: float) -> Packet:
        self._sent = packet
        self.deadline = now + self._waits.pop(0)
        return packet

    def tick(self, now: float) -> Packet | None:
        """The deadline has passed: the same again, or give up."""
        if self.done or self._sent is None or self.deadline is None or now < self.deadline:
            return None
        if not self._waits:
            asked = "OFFER" if self._kind() is Kind.DISCOVER else "ACK"
            self._fail(f"no {asked}")
            return None
        self.retransmits += 1
        # RFC 2131 section 4.4.1: secs counts from the beginning; relays and servers may go by it.
        seconds = min(int(now - self._started), 0xFFFF)
        return self._send(replace(self._sent, secs=seconds), now)

    def receive(self, packet: Packet, source: IPv4Address, now: float) -> Packet | None:
        """One message that arrived; what is not for us or makes no sense now is ignored."""
        if self.done or packet.op != REPLY or packet.xid != self._xid or packet.chaddr != self._identity.mac:
            return None
        server = options.address_of(packet.options.get(codes.SERVER_ID)) or source
        kind = packet.options.get(codes.MESSAGE_TYPE)
        if self._server not in (server, source) or kind is None or len(kind) != 1:
            return None
        if kind[0] == Kind.OFFER and self._kind() is Kind.DISCOVER:
            return self._offered(packet, server, now)
        if kind[0] == Kind.ACK and self._kind() is Kind.REQUEST:
            self._bound(packet, server)
        elif kind[0] == Kind.NAK and self._kind() is Kind.REQUEST:
            self._restarts += 1
            if self._restarts > MAX_RESTARTS:
                self._fail("NAK after NAK")
                return None
            return self._begin(now)
        return None

    def _offered(self, packet: Packet, server: IPv4Address, now: float) -> Packet | None:
        if packet.yiaddr == NO_ADDRESS:
            self._fail("the server offers no address (is it a proxy?)")
            return None
        request = self._packet(Kind.REQUEST)
        extra = {codes.REQUESTED_ADDRESS: packet.yiaddr.packed, codes.SERVER_ID: server.packed}
        self._waits = [wait * self._patience for wait in WAITS]
        return self._send(replace(request, options={**request.options, **extra}), now)

    def _bound(self, packet: Packet, server: IPv4Address) -> None:
        if packet.yiaddr == NO_ADDRESS:
            self._fail("an ACK without an address")
            return
        mask = packet.options.get(codes.SUBNET_MASK, b"\xff\xff\xff\xff")
        try:
            address = IPv4Interface(f"{packet.yiaddr}/{options.address_of(mask)}")
        except ValueError:
            self._fail("an ACK with a netmask that is none")
            return
        # PXE 2.1: option 67 wins over the file field; some servers end it with a NUL.
        name = packet.options.get(codes.BOOT_FILE, packet.file).split(b"\0", 1)[0]
        boot_server = packet.siaddr if packet.siaddr != NO_ADDRESS else server
        seconds = int.from_bytes(packet.options.get(codes.LEASE_TIME, b"")[:4], "big")
        self.lease = Lease(address, server, boot_server, name.decode("utf-8", "replace"), seconds)
        self.deadline = None

    def _fail(self, why: str) -> None:
        self.failed = why
        self.deadline = None

    def _kind(self) -> Kind | None:
        return None if self._sent is None else Kind(self._sent.options[codes.MESSAGE_TYPE][0])

    def _packet(self, kind: Kind) -> Packet:
        me = self._identity
        said = {
            codes.MESSAGE_TYPE: bytes((kind,)),
            codes.MAX_SIZE: (1472).to_bytes(2, "big"),
            codes.PARAMETER_LIST: bytes(_WANTED),
            codes.VENDOR_CLASS: f"PXEClient:Arch:{me.arch:05d}:UNDI:003016".encode(),
            codes.ARCH: me.arch.to_bytes(2, "big"),
            codes.CLIENT_INTERFACE: b"\x01\x03\x10",
            codes.CLIENT_UUID: b"\0" + me.uuid,
        }
        if self._who is Who.IPXE:
            said[codes.USER_CLASS] = b"iPXE"
            said[codes.IPXE] = _IPXE_FEATURES
            said[codes.CLIENT_ID] = b"\x01" + me.mac
        # UEFI firmware asks for a broadcast answer, iPXE takes frames to its MAC.
        flags = BROADCAST if self._who is Who.FIRMWARE and me.arch != 0 else 0
        return Packet(xid=self._xid, flags=flags, chaddr=me.mac, options=said)


def release(identity: Identity, lease: Lease, xid: int) -> Packet:
    """A RELEASE: the machine goes, its address may be given to another (RFC 2131 section 4.4.6)."""
    said = {
        codes.MESSAGE_TYPE: bytes((Kind.RELEASE,)),
        codes.SERVER_ID: lease.server.packed,
        codes.CLIENT_ID: b"\x01" + identity.mac,
    }
    return Packet(xid=xid, ciaddr=lease.address.ip, chaddr=identity.mac, options=said)
