"""Is there another DHCP server on the wire? Sends a DISCOVER and listens.

Overhears the answers with a packet socket (BPF: UDP to port 68), so it works beside a DHCP client on this
machine and beside our own server. It never takes the address it is offered. Needs CAP_NET_RAW.
"""

from __future__ import annotations

import asyncio
import ctypes
import secrets
import socket
import struct
from collections.abc import Collection
from dataclasses import dataclass
from ipaddress import IPv4Address

from pxe.dhcp import codes, frame, interfaces, options, wire
from pxe.dhcp.codes import Kind
from pxe.errors import WireError

ETH_P_IP = 0x0800
_SO_ATTACH_FILTER = 26
_CLIENT_ID = b"\0bootsrv-probe"  # so that a foreign server keeps this apart from our own machine's lease

# ldb [9]; jeq UDP; ldh [6]; jset fragment; ldxb 4*([0]&15); ldh [x+2]; jeq 68; accept; drop
_FILTER = (
    (0x30, 0, 0, 9), (0x15, 0, 6, 17), (0x28, 0, 0, 6), (0x45, 4, 0, 0x1FFF), (0xB1, 0, 0, 0),
    (0x48, 0, 0, 2), (0x15, 0, 1, 68), (0x06, 0, 0, 0xFFFF), (0x06, 0, 0, 0),
)  # fmt: skip


SECONDS = 4.0  # dnsmasq offers an address only after it has pinged it for three
OTHERS_SECONDS = 0.5  # what more servers get after the first


@dataclass(frozen=True, slots=True)
class Found:
    """A server that answered."""

    interface: str
    server: IPv4Address  # its identifier, or the address it sent from
    offered: IPv4Address

    def __str__(self) -> str:
        return f"a DHCP server at {self.server} answers on {self.interface} (it offered {self.offered})"


async def probe(
    interface: str, seconds: float = SECONDS, ignore: Collection[IPv4Address] = ()
) -> list[Found]:
    """Servers that offer an address on this interface, except those in `ignore` and our own addresses.

    Asks twice within `seconds`, for one question may get lost; is done soon after the first answer. Raises
    OSError (no such interface, no right).
    """
    card = interfaces.read(interface)
    ours = {own.ip for own in card.addresses} | set(ignore)
    xid = secrets.randbits(32)
    found: dict[IPv4Address, Found] = {}
    loop = asyncio.get_running_loop()
    with _listener(interface) as sock:
        ends = loop.time() + seconds
        again = loop.time()
        while loop.time() < ends:
            if loop.time() >= again:
                sock.sendto(_question(xid, card.mac), (interface, ETH_P_IP, 0, 1, b"\xff" * 6))
                again += seconds / 2
            try:
                wait = min(again, ends) - loop.time()
                data = await asyncio.wait_for(loop.sock_recv(sock, 65535), max(wait, 0.001))
            except TimeoutError:
                continue
            answer = _offer(data, xid)
            if answer is not None and answer[0] not in ours:
                found[answer[0]] = Found(interface, *answer)
                ends = min(ends, loop.time() + OTHERS_SECONDS)
    return list(found.values())


def _listener(interface: str) -> socket.socket:
    """A packet socket that hears UDP to port 68 on the interface, from now on."""
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0)
    try:
        code = b"".join(struct.pack("=HBBI", *step) for step in _FILTER)
        buffer = ctypes.create_string_buffer(code, len(code))
        program = struct.pack("@HP", len(_FILTER), ctypes.addressof(buffer))
        sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)
        sock.bind((interface, ETH_P_IP))
        sock.setblocking(False)
    except OSError:
        sock.close()
        raise
    return sock


def _question(xid: int, mac: bytes) -> bytes:
    packet = wire.Packet(
        xid=xid,
        flags=wire.BROADCAST,
        chaddr=mac[:6].ljust(6, b"\0"),
        options={
            codes.MESSAGE_TYPE: bytes((Kind.DISCOVER,)),
            codes.CLIENT_ID: _CLIENT_ID,
            codes.PARAMETER_LIST: bytes((codes.SUBNET_MASK, codes.ROUTERS)),
        },
    )
    everybody = IPv4Address("255.255.255.255")
    return frame.build(frame.Datagram(wire.NO_ADDRESS, 68, everybody, 67, wire.build(packet)))


def _offer(data: bytes, xid: int) -> tuple[IPv4Address, IPv4Address] | None:
    """Server and offered address of an OFFER that answers us; None for whatever else goes by."""
    try:
        datagram = frame.parse(data)
        packet = wire.parse(datagram.payload)
    except WireError:
        return None
    if packet.op != wire.REPLY or packet.xid != xid or packet.yiaddr == wire.NO_ADDRESS:
        return None
    server = options.address_of(packet.options.get(codes.SERVER_ID))
    return server or datagram.source, packet.yiaddr
