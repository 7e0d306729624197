"""Facts about network interfaces from the kernel: index, MAC, IPv4 addresses (rtnetlink(7)). Linux only."""

from __future__ import annotations

import fcntl
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface

_RTM_NEWADDR, _RTM_GETADDR, _NLMSG_ERROR, _NLMSG_DONE = 20, 22, 2, 3
_NLM_F_DUMP_REQUEST = 0x301
_IFA_ADDRESS, _IFA_LOCAL = 1, 2
_SIOCGIFFLAGS, _FLAGS = 0x8913, struct.Struct("=16sH22x")  # struct ifreq
_HEADER = struct.Struct("=IHHII")  # length, type, flags, sequence, port
_ADDRESS = struct.Struct("=BBBBI")  # family, prefix, flags, scope, index


@dataclass(frozen=True, slots=True)
class Interface:
    """One interface. `mac` is empty where there is none."""

    name: str
    index: int
    mac: bytes
    addresses: tuple[IPv4Interface, ...]


def read(name: str) -> Interface:
    """Raises OSError when there is no such interface."""
    try:
        index = socket.if_nametoindex(name)
    except OSError as error:
        raise OSError(error.errno, f"no network interface {name!r}") from error
    with socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0) as probe:
        probe.bind((name, 0))
        mac: bytes = probe.getsockname()[4]
    return Interface(name, index, mac, tuple(own for owner, own in _addresses() if owner == index))


def is_up(name: str) -> bool:
    """Whether the interface is switched on (IFF_UP). Asked with ioctl, since /sys may show another network
    namespace."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        answer = fcntl.ioctl(probe.fileno(), _SIOCGIFFLAGS, _FLAGS.pack(name.encode(), 0))
    return bool(_FLAGS.unpack(answer)[1] & 1)


def addresses(name: str) -> tuple[IPv4Interface, ...]:
    """The IPv4 addresses of an interface now, the primary one first. Raises OSError when it is gone."""
    index = socket.if_nametoindex(name)
    return tuple(own for owner, own in _addresses() if owner == index)


def _addresses() -> Iterator[tuple[int, IPv4Interface]]:
    """Every IPv4 address of this network namespace with the index of its interface."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as link:
        link.settimeout(2.0)
        link.bind((0, 0))
        body = _ADDRESS.pack(socket.AF_INET, 0, 0, 0, 0)
        link.send(_HEADER.pack(_HEADER.size + len(body), _RTM_GETADDR, _NLM_F_DUMP_REQUEST, 1, 0) + body)
        while True:
            data = link.recv(65536)
            at = 0
            while at + _HEADER.size <= len(data):
                length, kind, _flags, _sequence, _port = _HEADER.unpack_from(data, at)
                if kind == _NLMSG_DONE:
                    return
                if kind == _NLMSG_ERROR:
                    code = -struct.unpack_from("=i", data, at + _HEADER.size)[0]
                    raise OSError(code, "the kernel does not list its addresses")
                if kind == _RTM_NEWADDR:
                    yield from _address(data[at + _HEADER.size : at + length])
                at += (length + 3) & ~3


def _address(message: bytes) -> Iterator[tuple[int, IPv4Interface]]:
    _family, prefix, _flags, _scope, index = _ADDRESS.unpack_from(message)
    found: dict[int, bytes] = {}
    at = _ADDRESS.size
    while at + 4 <= len(message):
        size, kind = struct.unpack_from("=HH", message, at)
        if size < 4:
            break
        found[kind] = message[at + 4 : at + size]
        at += (size + 3) & ~3
    # On a point-to-point link IFA_ADDRESS is the other end; IFA_LOCAL is always ours.
    own = found.get(_IFA_LOCAL) or found.get(_IFA_ADDRESS)
    if own is not None and len(own) == 4:
        yield index, IPv4Interface((IPv4Address(own), prefix))
