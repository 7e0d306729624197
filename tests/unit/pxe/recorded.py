"""Packets of real firmware and systems, recorded in the lab (`tests/data/pcap`), as bytes by protocol."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

PLACE = Path(__file__).parents[2] / "data" / "pcap"
DHCP_PORTS, TFTP_PORT, DNS_PORT = {67, 68, 4011}, 69, 53
_ETHERNET, _IPV4, _UDP = 14, 0x0800, 17


@dataclass(frozen=True)
class Datagram:
    """The content of one UDP packet, and where it went."""

    file: str
    number: int  # in its file, from 1 as Wireshark counts
    source_port: int
    port: int
    data: bytes

    @property
    def protocol(self) -> str:
        ports = {self.source_port, self.port}
        if ports & DHCP_PORTS:
            return "dhcp"
        return "dns" if DNS_PORT in ports else "tftp"


@cache
def datagrams(protocol: str) -> tuple[Datagram, ...]:
    """All of one protocol, in the order of files and time."""
    found = [d for path in sorted(PLACE.glob("*.pcap")) for d in _read(path)]
    return tuple(d for d in found if d.protocol == protocol)


def _read(path: Path) -> Iterator[Datagram]:
    """pcap-savefile(5) by hand: it has to be little-endian, with Ethernet frames, as ours are."""
    raw = path.read_bytes()
    magic, link = struct.unpack_from("<I16xI", raw)
    assert (magic, link) == (0xA1B2C3D4, 1), f"{path} is not a pcap as we write it"
    at, number = 24, 0
    while at < len(raw):
        (size,) = struct.unpack_from("<8xI", raw, at)
        frame, number = raw[at + 16 : at + 16 + size], number + 1
        at += 16 + size
        if struct.unpack_from("!H", frame, 12) != (_IPV4,) or frame[_ETHERNET + 9] != _UDP:
            continue
        udp = _ETHERNET + (frame[_ETHERNET] & 15) * 4
        source, port, length = struct.unpack_from("!HHH", frame, udp)
        yield Datagram(path.stem, number, source, port, frame[udp + 8 : udp + length])
