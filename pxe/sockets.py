"""UDP sockets for servers that answer from the address they were asked at. Shared by TFTP and DNS.

Bound to a wildcard, the kernel tells with each datagram where it was sent to (IP_PKTINFO); what came by
broadcast or multicast is not for us.
"""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any

_IP_PKTINFO, _IPV6_RECVPKTINFO, _IPV6_PKTINFO = 8, 49, 50
_IP_MTU_DISCOVER, _DONT = 10, 0
Control = list[tuple[int, int, bytes]]


@dataclass(frozen=True, slots=True)
class Listen:
    """One place to listen: an address of ours (or a wildcard) and, to be strict, the interface it must come
    in on. Port 0 takes a free one."""

    address: str
    port: int
    device: str | None = None

    @property
    def family(self) -> socket.AddressFamily:
        """AF_INET or AF_INET6."""
        return socket.AF_INET6 if ":" in self.address else socket.AF_INET

    @property
    def wildcard(self) -> bool:
        """Whether this is 0.0.0.0 or ::"""
        return ip_address(self.address.partition("%")[0]).is_unspecified


def bind(
    place: Listen, kind: socket.SocketKind, address: str | None = None, port: int | None = None
) -> socket.socket:
    """A non-blocking socket bound as `place` says, or to another address or port of the same kind. Raises
    OSError."""
    sock = socket.socket(place.family, kind | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        if place.device:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, place.device.encode())
        if place.family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        elif kind == socket.SOCK_DGRAM:
            # A router that drops "fragmentation needed" must not stop a machine from booting.
            sock.setsockopt(socket.IPPROTO_IP, _IP_MTU_DISCOVER, _DONT)
        if kind == socket.SOCK_STREAM:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(_address(place, address or place.address, place.port if port is None else port))
    except OSError:
        sock.close()
        raise
    return sock


def _address(place: Listen, address: str, port: int) -> tuple[Any, ...]:
    if place.family == socket.AF_INET:
        return (address, port)
    host, _, scope = address.partition("%")
    scope = scope or (place.device or "")
    index = socket.if_nametoindex(scope) if scope and ip_address(host).is_link_local else 0
    return (host, port, 0, index)


def want_destination(sock: socket.socket) -> None:
    """Have the kernel tell with each datagram which of our addresses it was sent to."""
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_RECVPKTINFO, 1)
    else:
        sock.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)


def destination(control: Control) -> str | None:
    """Our address that a datagram was sent to; None when that was a broadcast or multicast address."""
    for level, kind, data in control:
        if level == socket.IPPROTO_IP and kind == _IP_PKTINFO:
            _, ours, header = struct.unpack("=i4s4s", data[:12])
            return str(IPv4Address(ours)) if ours == header else None
        if level == socket.IPPROTO_IPV6 and kind == _IPV6_PKTINFO:
            address = IPv6Address(data[:16])
            return None if address.is_multicast else str(address)
    return None


def source(local: str) -> Control:
    """What makes sendmsg on a wildcard socket send from `local`."""
    address = ip_address(local)
    if isinstance(address, IPv4Address):
        return [(socket.IPPROTO_IP, _IP_PKTINFO, struct.pack("=i4s4s", 0, address.packed, bytes(4)))]
    return [(socket.IPPROTO_IPV6, _IPV6_PKTINFO, address.packed + struct.pack("=i", 0))]


def plain_address(peer: tuple[Any, ...]) -> str:
    """A socket address's IP address for people: without scope, IPv4-mapped as IPv4."""
    return _plain(str(peer[0]))


@lru_cache(4096)
def _plain(text: str) -> str:
    address = ip_address(text.partition("%")[0])
    return str(getattr(address, "ipv4_mapped", None) or address)


def speaks_ipv6() -> bool:
    """Whether this system has IPv6 at all; it can be left out of a kernel, or switched off when it starts."""
    try:
        socket.socket(socket.AF_INET6, socket.SOCK_DGRAM).close()
    except OSError:
        return False
    return True
