"""Leased addresses on the interface for as long as the storm lasts: rtnetlink(7), RTM_NEWADDR and
RTM_DELADDR.

Each simulated machine speaks from its own address, so that the server sees as many peers as there are
machines. The law: an address that was added goes away by itself, even if this process is killed: the
kernel gets a lifetime with it. Linux only; needs CAP_NET_ADMIN.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from ipaddress import IPv4Address, IPv4Interface

_RTM_NEWADDR, _RTM_DELADDR, _NLMSG_ERROR = 20, 21, 2
_REQUEST_ACK, _CREATE_REPLACE = 0x5, 0x500
_IFA_ADDRESS, _IFA_LOCAL, _IFA_CACHEINFO = 1, 2, 6
_HEADER = struct.Struct("=IHHII")  # length, type, flags, sequence, port
_ADDRESS = struct.Struct("=BBBBI")  # family, prefix, flags, scope, index


class Addresses:
    """Adds addresses to one interface and takes them away again. Use as a context manager."""

    def __init__(self, interface: str, seconds: int) -> None:
        """`seconds`: how long an address stays at most. Raises OSError (no such interface)."""
        self._index = socket.if_nametoindex(interface)
        self._seconds = seconds
        self._sequence = 0
        self._added: dict[IPv4Address, IPv4Interface] = {}
        self._link = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        self._link.settimeout(2.0)
        self._link.bind((0, 0))

    def __enter__(self) -> Addresses:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def add(self, address: IPv4Interface) -> None:
        """Add an address, or give it its full time again. Raises OSError (no right to)."""
        lifetime = struct.pack("=IIII", self._seconds, self._seconds, 0, 0)  # preferred, valid, two stamps
        self._ask(_RTM_NEWADDR, _CREATE_REPLACE, address, _attribute(_IFA_CACHEINFO, lifetime))
        self._added[address.ip] = address

    def close(self) -> None:
        """Take all away. One that is gone already is no error: a first one takes its others with it."""
        for address in self._added.values():
            try:
                self._ask(_RTM_DELADDR, 0, address, b"")
            except OSError as error:
                if error.errno not in (errno.EADDRNOTAVAIL, errno.ENODEV):
                    raise
        self._added.clear()
        self._link.close()

    def _ask(self, kind: int, flags: int, address: IPv4Interface, extra: bytes) -> None:
        packed = address.ip.packed
        body = _ADDRESS.pack(socket.AF_INET, address.network.prefixlen, 0, 0, self._index)
        body += _attribute(_IFA_LOCAL, packed) + _attribute(_IFA_ADDRESS, packed) + extra
        self._sequence += 1
        head = _HEADER.pack(_HEADER.size + len(body), kind, _REQUEST_ACK | flags, self._sequence, 0)
        self._link.send(head + body)
        answer = self._link.recv(65536)
        if _HEADER.unpack_from(answer)[1] != _NLMSG_ERROR:
            raise OSError(errno.EPROTO, "the kernel gave no plain answer about an address")
        code = -struct.unpack_from("=i", answer, _HEADER.size)[0]
        if code:
            raise OSError(code, f"{os.strerror(code)}: address {address}")


def _attribute(kind: int, value: bytes) -> bytes:
    size = 4 + len(value)
    return struct.pack("=HH", size, kind) + value + bytes(-size % 4)
