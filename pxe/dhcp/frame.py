"""IPv4 + UDP by hand, for packet sockets: a client without an address can only be reached (and overheard)
so.

RFC 791 and 768. Always writes full checksums: small clients (udhcpc) verify them and have no way to know
that a virtual network card left them to be filled in later. Pure.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from ipaddress import IPv4Address

from pxe.errors import WireError

UDP = 17
_IP = struct.Struct("!BBHHHBBH4s4s")
_UDP = struct.Struct("!HHHH")


@dataclass(frozen=True, slots=True)
class Datagram:
    """A UDP datagram with its addresses."""

    source: IPv4Address
    source_port: int
    target: IPv4Address
    target_port: int
    payload: bytes


def checksum(data: bytes) -> int:
    """RFC 1071."""
    if len(data) % 2:
        data += b"\0"
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def build(datagram: Datagram) -> bytes:
    """The IP packet, from its first header byte."""
    source, target = datagram.source.packed, datagram.target.packed
    size = _UDP.size + len(datagram.payload)
    bare = _UDP.pack(datagram.source_port, datagram.target_port, size, 0) + datagram.payload
    pseudo = source + target + struct.pack("!BBH", 0, UDP, size)
    # RFC 768: a sum of zero is sent as all ones, for zero means "not summed".
    udp = bare[:6] + struct.pack("!H", checksum(pseudo + bare) or 0xFFFF) + datagram.payload
    head = _IP.pack(0x45, 0x10, _IP.size + size, 0, 0, 64, UDP, 0, source, target)
    head = head[:10] + struct.pack("!H", checksum(head)) + head[12:]
    return head + udp


def parse(packet: bytes) -> Datagram:
    """Read an IP packet; raises WireError for anything but a whole UDP datagram. Checksums are not
    verified."""
    if len(packet) < _IP.size:
        raise WireError(f"{len(packet)} bytes are no IP packet")
    first, _tos, length, _id, fragment, _ttl, protocol, _sum, source, target = _IP.unpack_from(packet)
    head = (first & 15) * 4
    if first >> 4 != 4 or head < _IP.size or protocol != UDP or fragment & 0x3FFF:
        raise WireError("not a whole UDP datagram in IPv4")
    if len(packet) < length or length < head + _UDP.size:
        raise WireError("the IP packet is cut off")
    source_port, target_port, size, _check = _UDP.unpack_from(packet, head)
    if size < _UDP.size or head + size > length:
        raise WireError("the UDP datagram is cut off")
    payload = packet[head + _UDP.size : head + size]
    return Datagram(IPv4Address(source), source_port, IPv4Address(target), target_port, payload)
