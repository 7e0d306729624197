"""The wire of all machines: one packet socket that speaks DHCP with many Ethernet addresses.

Frames leave with the machine's own MAC, as if it stood there; answers are overheard in promiscuous mode
and given to the machine whose transaction they belong to. Linux only; needs CAP_NET_RAW. UDP over IPv4
only.
"""

from __future__ import annotations

import asyncio
import ctypes
import errno
import logging
import socket
import struct
from collections.abc import Callable
from ipaddress import IPv4Address
from random import Random

from pxe.dhcp import frame, wire
from pxe.errors import WireError

log = logging.getLogger(__name__)

ETH_P_IP = 0x0800
EVERYBODY = IPv4Address("255.255.255.255")
BROADCAST_MAC = b"\xff" * 6
_SO_ATTACH_FILTER, _SO_RCVBUFFORCE, _SOL_PACKET = 26, 33, 263
_PACKET_ADD_MEMBERSHIP, _PACKET_MR_PROMISC = 1, 1
_BUFFER = 16 * 1024 * 1024
_BATCH = 64  # packets read in one go, so that timers are not starved

# ldb [23]; jeq UDP; ldh [20]; jset fragment; ldxb 4*([14]&15); ldh [x+16]; jeq 68; accept; drop
_FILTER = (
    (0x30, 0, 0, 23), (0x15, 0, 6, 17), (0x28, 0, 0, 20), (0x45, 4, 0, 0x1FFF), (0xB1, 0, 0, 14),
    (0x48, 0, 0, 16), (0x15, 0, 1, 68), (0x06, 0, 0, 0xFFFF), (0x06, 0, 0, 0),
)  # fmt: skip

Receive = Callable[[wire.Packet, IPv4Address], None]


class Ether:
    """Open it inside a running event loop; `close` it."""

    def __init__(self, interface: str, loss: float = 0.0) -> None:
        """`loss`: share of packets to drop each way. Raises OSError (no such interface, no right to)."""
        self._loss, self._random = loss, Random(0)  # noqa: S311  # the same losses each time
        self._waiting: dict[int, Receive] = {}  # by transaction id
        self._neighbours: dict[IPv4Address, bytes] = {}
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        try:
            self._prepare(interface)
        except OSError:
            self._socket.close()
            raise
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._socket, self._read)

    def _prepare(self, interface: str) -> None:
        code = b"".join(struct.pack("=HBBI", *step) for step in _FILTER)
        buffer = ctypes.create_string_buffer(code, len(code))
        program = struct.pack("@HP", len(_FILTER), ctypes.addressof(buffer))
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER)
        except PermissionError:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
        self._socket.bind((interface, ETH_P_IP))
        index = socket.if_nametoindex(interface)
        member = struct.pack("=iHH8s", index, _PACKET_MR_PROMISC, 0, b"")
        self._socket.setsockopt(_SOL_PACKET, _PACKET_ADD_MEMBERSHIP, member)
        self._socket.setblocking(False)

    def close(self) -> None:
        """Stop listening; safe to call twice."""
        if self._socket.fileno() >= 0:
            self._loop.remove_reader(self._socket)
            self._socket.close()

    def listen(self, xid: int, receive: Receive) -> None:
        """Give answers of this transaction to `receive`."""
        self._waiting[xid] = receive

    def forget(self, xid: int) -> None:
        """No more answers of this transaction."""
        self._waiting.pop(xid, None)

    def broadcast(self, mac: bytes, packet: wire.Packet) -> None:
        """From a machine without an address to everybody."""
        self._send(BROADCAST_MAC, mac, frame.Datagram(wire.NO_ADDRESS, 68, EVERYBODY, 67, wire.build(packet)))

    def unicast(self, mac: bytes, source: IPv4Address, target: IPv4Address, packet: wire.Packet) -> None:
        """From a machine with an address to the server; needs to have heard of it."""
        neighbour = self._neighbours.get(target, BROADCAST_MAC)
        self._send(neighbour, mac, frame.Datagram(source, 68, target, 67, wire.build(packet)))

    def dropped(self) -> bool:
        """Whether the next packet is lost on our simulated wire."""
        return self._loss > 0 and self._random.random() < self._loss

    def _send(self, target: bytes, source: bytes, datagram: frame.Datagram) -> None:
        if self.dropped():
            return
        packet = target + source + ETH_P_IP.to_bytes(2, "big") + frame.build(datagram)
        try:
            self._socket.send(packet)
        except OSError as error:
            # A full queue is what a wire does too: the machine asks again.
            if error.errno not in (errno.ENOBUFS, errno.EAGAIN):
                raise

    def _read(self) -> None:
        for _ in range(_BATCH):
            try:
                data = self._socket.recv(65535)
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno != errno.ENETDOWN:
                    raise
                log.warning("the interface went down")
                return
            if not self.dropped():
                self._receive(data)

    def _receive(self, data: bytes) -> None:
        try:
            datagram = frame.parse(data[14:])
            packet = wire.parse(datagram.payload)
        except WireError:
            return  # other people's traffic
        receive = self._waiting.get(packet.xid)
        if receive is not None and packet.op == wire.REPLY:
            self._neighbours[datagram.source] = data[6:12]
            receive(packet, datagram.source)
