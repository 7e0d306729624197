"""Does somebody already use an address? Questions to the wire and what is heard of them.

On our own wire by ARP probe (RFC 5227 section 2.1.1: sender 0.0.0.0, so that nobody's table changes), behind
a relay by ICMP echo (RFC 2131 section 4.4.1). The law: only asks and listens, never waits; silence is the
caller's to time. Needs CAP_NET_RAW.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator
from ipaddress import IPv4Address

ETH_P_ARP = 0x0806
_ARP = struct.Struct("!HHBBH6s4s6s4s")
_ETHERNET, _IPV4, _ASK = 1, 0x0800, 1
_SOL_RAW, _ICMP_FILTER = 255, 1
_ONLY_ECHO_REPLIES = struct.pack("=I", 0xFFFFFFFE)
_NOBODY, _NO_MAC, _EVERY_MAC = bytes(4), bytes(6), b"\xff" * 6
MOST = 512  # packets taken at once


class Arp:
    """ARP on one interface. Raises OSError when it cannot be opened; a link without ARP is silent."""

    def __init__(self, interface: str, mac: bytes) -> None:
        self._interface = interface
        self._mac = mac
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0)
        self.socket.setblocking(False)
        try:
            self.socket.bind((interface, ETH_P_ARP))
        except OSError:
            self.socket.close()
            raise

    def ask(self, address: IPv4Address) -> None:
        """One probe. Raises OSError."""
        data = _ARP.pack(
            _ETHERNET, _IPV4, 6, 4, _ASK, self._mac[:6].ljust(6, b"\0"), _NOBODY, _NO_MAC, address.packed
        )
        self.socket.sendto(data, (self._interface, ETH_P_ARP, 0, 1, _EVERY_MAC))

    def heard(self) -> Iterator[tuple[int, bytes]]:
        """Address and MAC of everybody who said "this is mine", in a question or in an answer."""
        for data in _waiting(self.socket):
            if len(data) < _ARP.size:
                continue
            link, protocol, mac_size, size, _op, mac, address, _mac, _address = _ARP.unpack_from(data)
            if (link, protocol, mac_size, size) == (_ETHERNET, _IPV4, 6, 4) and address != _NOBODY:
                yield int.from_bytes(address, "big"), mac


class Echo:
    """ICMP echo through whatever route leads there."""

    def __init__(self) -> None:
        self._id = os.getpid() & 0xFFFF
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
        self.socket.setblocking(False)
        try:
            self.socket.setsockopt(_SOL_RAW, _ICMP_FILTER, _ONLY_ECHO_REPLIES)
        except OSError:
            self.socket.close()
            raise

    def ask(self, address: IPv4Address) -> None:
        """One echo request. Raises OSError."""
        total = 0x0800 + self._id
        check = 0xFFFF & ~((total & 0xFFFF) + (total >> 16))
        self.socket.sendto(struct.pack("!BBHHH", 8, 0, check, self._id, 0), (str(address), 0))

    def heard(self) -> Iterator[tuple[int, bytes]]:
        """Addresses that answered us; the MAC is not to be known from here."""
        for data in _waiting(self.socket):
            start = (data[0] & 15) * 4 if data else 0
            ours = data[start + 4 : start + 6] == self._id.to_bytes(2, "big")
            if ours and data[start] == 0:
                yield int.from_bytes(data[12:16], "big"), b""


def _waiting(sock: socket.socket) -> Iterator[bytes]:
    for _ in range(MOST):
        try:
            yield sock.recv(2048)
        except OSError:  # nothing waits, or the interface went down: then nothing is heard either
            return
