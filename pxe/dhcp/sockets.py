"""The sockets of one interface: 67 and 4011 over UDP, and a packet socket for clients without an address.

Needs CAP_NET_BIND_SERVICE and CAP_NET_RAW. No SO_REUSEADDR: for UDP it would let a second server on this
machine take half of our packets, where an "address in use" at start is the better news.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Interface

from pxe.dhcp import advert, frame, interfaces
from pxe.dhcp.inuse import Arp
from pxe.dhcp.replies import PROXY_PORT, SERVER_PORT, Reply, Way
from pxe.dhcp.zones import Arrival

ETH_P_IP = 0x0800
RECEIVE_BUFFER = 4 << 20  # bytes; a rack that powers on at once sends more than the default holds
LARGEST = 65535
_IP_PKTINFO = 8
_SO_RCVBUFFORCE = 33
EVERY_MAC = b"\xff" * 6
MOST_SOURCES = 256  # senders (relays, mostly) whose Arrival is kept ready


class Port:
    """One interface with its sockets."""

    def __init__(self, name: str, server_port: int, proxy_port: int) -> None:
        self.interface = interfaces.read(name)
        self.addresses: tuple[IPv4Interface, ...] = self.interface.addresses
        self._server_port = server_port
        self._buffer = memoryview(bytearray(LARGEST))
        self._arrivals: dict[tuple[int, str, int], Arrival] = {}
        self.sockets: list[socket.socket] = []
        try:
            self.main = self._udp(server_port)
            self.proxy = self._udp(proxy_port) if proxy_port else None
            self._raw = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0)
            self.sockets.append(self._raw)
            self._raw.bind((name, 0))  # protocol 0: it only sends
            self.arp = Arp(name, self.interface.mac)
            self.sockets.append(self.arp.socket)
        except OSError:
            self.close()
            raise

    def _udp(self, port: int) -> socket.socket:
        name = self.interface.name
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sockets.append(sock)
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, name.encode())
        try:
            sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, RECEIVE_BUFFER)
        except PermissionError:  # without CAP_NET_ADMIN: as much as the system lets us have
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        try:
            sock.bind(("0.0.0.0", port))
        except OSError as error:
            raise OSError(error.errno, f"DHCP port {port}/udp on {name}: {error.strerror}") from error
        return sock

    @property
    def questions(self) -> tuple[socket.socket, ...]:
        """Where packets of clients come in."""
        return (self.main,) if self.proxy is None else (self.main, self.proxy)

    def replaced(self) -> bool:
        """Whether the interface was deleted and made again: our sockets then hear nothing for ever. Raises
        OSError while there is none."""
        return socket.if_nametoindex(self.interface.name) != self.interface.index

    def refresh(self) -> None:
        """Read our addresses anew. Raises OSError when the interface is gone."""
        addresses = interfaces.addresses(self.interface.name)
        if addresses != self.addresses:
            self.addresses = addresses
            self._arrivals.clear()

    def receive(self, limit: int) -> Iterator[tuple[bytes, Arrival]]:
        """What waits on both UDP sockets, at most `limit` datagrams each."""
        for sock, port in ((self.main, SERVER_PORT), (self.proxy, PROXY_PORT)):
            if sock is None:
                continue
            for _ in range(limit):
                try:
                    size, (host, source_port) = sock.recvfrom_into(self._buffer)
                except BlockingIOError:
                    break
                arrival = self._arrivals.get((port, host, source_port))
                yield bytes(self._buffer[:size]), arrival or self._arrival(port, host, source_port)

    def _arrival(self, port: int, host: str, source_port: int) -> Arrival:
        if len(self._arrivals) >= MOST_SOURCES:
            self._arrivals.clear()
        made = Arrival(self.interface.name, self.addresses, port, IPv4Address(host), source_port)
        self._arrivals[port, host, source_port] = made
        return made

    def send(self, reply: Reply, data: bytes) -> None:
        """Send one answer. Raises OSError."""
        # Ports other than 67 and 68 are for tests only; both ends shift together.
        port = reply.port + (self._server_port - SERVER_PORT if reply.via == SERVER_PORT else 0)
        if reply.way is Way.ROUTED:
            sock = self.main if reply.via == SERVER_PORT or self.proxy is None else self.proxy
            info = struct.pack("=I4s4s", self.interface.index, reply.server.packed, bytes(4))
            sock.sendmsg([data], [(socket.IPPROTO_IP, _IP_PKTINFO, info)], 0, (str(reply.address), port))
            return
        datagram = frame.Datagram(reply.server, self._server_port, reply.address, port, data)
        mac = reply.packet.chaddr if reply.way is Way.DIRECT else EVERY_MAC
        self._raw.sendto(frame.build(datagram), (self.interface.name, ETH_P_IP, 0, 1, mac))
        if advert.wanted(reply) and len(self.interface.mac) == 6:
            packet = advert.build(self.interface.mac, reply.packet.chaddr)
            where = (self.interface.name, advert.ETH_P_IPV6, 0, 1, reply.packet.chaddr)
            self._raw.sendto(packet, where)

    def close(self) -> None:
        """Close everything; safe to call twice."""
        while self.sockets:
            self.sockets.pop().close()
