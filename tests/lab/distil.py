"""Makes a small pcap of one machine's boot out of a whole one: what `tests/data/pcap` holds.

    python tests/lab/distil.py WHOLE.pcap MAC SMALL.pcap

Kept are DHCP, TFTP, DNS and the heads of HTTP. Of a file that is sent, the first and the last block stay,
with zeros for content: the files belong to others, and a codec is not tested by them.
"""

from __future__ import annotations

import sys
from pathlib import Path

from scapy.layers.dhcp import BOOTP
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw
from scapy.utils import PcapReader, wrpcap

KNOWN = {53, 67, 68, 69, 4011}
DATA, ACK = b"\0\3", b"\0\4"


def whose(packet: Packet, mac: str) -> bool:
    if packet.src == mac or packet.dst == mac:
        return True
    return BOOTP in packet and packet[BOOTP].chaddr[:6] == bytes.fromhex(mac.replace(":", ""))


def distil(whole: Path, mac: str) -> list[Packet]:
    kept: list[Packet] = []
    flows: dict[tuple[int, int], list[Packet]] = {}  # of TFTP, by the client's and the server's port
    for packet in PcapReader(str(whole)):
        if not whose(packet, mac):
            continue
        if TCP in packet:
            kept += [packet] if head(packet) else []
        elif UDP in packet and KNOWN & {packet[UDP].sport, packet[UDP].dport}:
            kept.append(packet)
        elif UDP in packet:
            body, ports = bytes(packet[UDP].payload), sorted((packet[UDP].sport, packet[UDP].dport))
            if body[:2] in (DATA, ACK):
                flows.setdefault((ports[0], ports[1]), []).append(packet)
            elif body[:1] == b"\0":
                kept.append(packet)
    for packets in flows.values():
        kept += [blank(packet) for packet in packets[:2] + packets[2:][-2:]]
    return sorted(kept, key=lambda packet: packet.time)


def head(packet: Packet) -> bool:
    """Whether it begins an HTTP message; its body is taken off."""
    body = bytes(packet[TCP].payload)
    if not body.startswith((b"GET ", b"HEAD ", b"HTTP/1.")) or b"\r\n\r\n" not in body:
        return False
    if b"Authorization" in body:  # the imager's, with its token
        return False
    replace(packet, TCP, body[: body.index(b"\r\n\r\n") + 4])
    return True


def blank(packet: Packet) -> Packet:
    body = bytes(packet[UDP].payload)
    if body.startswith(DATA):
        replace(packet, UDP, body[:4] + bytes(len(body) - 4))
    return packet


def replace(packet: Packet, layer: type[Packet], body: bytes) -> None:
    packet[layer].remove_payload()
    packet[layer].add_payload(Raw(body))
    for stale in (packet[IP].len, packet[IP].chksum, packet[layer].chksum):
        assert stale is not None
    del packet[IP].len, packet[IP].chksum, packet[layer].chksum
    if layer is UDP:
        del packet[UDP].len


def main() -> None:
    whole, mac, small = sys.argv[1:4]
    found = distil(Path(whole), mac)
    packets = [Ether(bytes(packet)) for packet in found]
    for packet, old in zip(packets, found, strict=True):
        packet.time = old.time
    wrpcap(small, packets)
    print(f"{small}: {len(packets)} packets")


if __name__ == "__main__":
    main()
