"""What real firmware and systems said, and what they were answered, through our codecs.

Each packet is read, written again and read to the same; every truncation and every flipped bit of it is a
packet or the room's error; scapy and dnspython read the same things out of it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import dns.message
import pytest
from recorded import Datagram, datagrams

from pxe.dhcp import wire as dhcp
from pxe.dhcp.client import describe
from pxe.dhcp.ports import Stage
from pxe.dns import wire as dns_wire
from pxe.errors import WireError
from pxe.tftp import wire as tftp

sys.path.insert(0, str(Path(__file__).parent / "dhcp"))
from pxe_bytes import scapy_dhcp

DHCP, TFTP, DNS = datagrams("dhcp"), datagrams("tftp"), datagrams("dns")


def name_of(datagram: Datagram) -> str:
    return f"{datagram.file}-{datagram.number}"


def queries() -> list[Datagram]:
    return [d for d in DNS if d.port == 53]


def damaged(data: bytes) -> Iterator[bytes]:
    """Every truncation, and every copy with one bit flipped."""
    for size in range(len(data)):
        yield data[:size]
    copy = bytearray(data)
    for bit in range(len(data) * 8):
        copy[bit >> 3] ^= 1 << (bit & 7)
        yield bytes(copy)
        copy[bit >> 3] ^= 1 << (bit & 7)


def one_of_each(found: tuple[Datagram, ...], shape: Callable[[bytes], Any]) -> list[Datagram]:
    """The first of all that differ only in numbers and addresses: damage finds the same in the others."""
    kinds: dict[Any, Datagram] = {}
    for datagram in found:
        kinds.setdefault(shape(datagram.data), datagram)
    return list(kinds.values())


def dhcp_shape(data: bytes) -> Any:
    packet = dhcp.parse(data)
    return packet.op, tuple((code, len(value)) for code, value in packet.options.items()), len(data)


class TestDhcp:
    @pytest.mark.parametrize("datagram", DHCP, ids=name_of)
    def test_there_and_back(self, datagram: Datagram) -> None:
        packet = dhcp.parse(datagram.data)
        assert dhcp.parse(dhcp.build(packet, 65535)) == packet
        fields, options = scapy_dhcp(datagram.data)
        assert options == dict(packet.options)
        assert (fields["xid"], fields["yiaddr"]) == (packet.xid, str(packet.yiaddr))
        assert scapy_dhcp(dhcp.build(packet, 65535))[1] == options

    @pytest.mark.parametrize("datagram", one_of_each(DHCP, dhcp_shape), ids=name_of)
    def test_damage(self, datagram: Datagram) -> None:
        for data in damaged(datagram.data):
            try:
                packet = dhcp.parse(data)
            except WireError:
                continue
            describe(packet)
            assert dhcp.parse(dhcp.build(packet, 1 << 17)) == packet

    @pytest.mark.parametrize(
        "file, stages, archs",
        [
            ("seabios-ipxe-rom", [Stage.OLD_IPXE, Stage.IPXE], [0]),
            ("ovmf-pxe", [Stage.FIRMWARE, Stage.SYSTEM], [7]),
            ("ovmf-http", [Stage.FIRMWARE, Stage.IPXE, Stage.SYSTEM], [16, 7]),
            ("pxelinux", [Stage.OLD_IPXE], [0]),
            ("grub-tftp", [Stage.FIRMWARE], [7]),
            ("shim-grub", [Stage.FIRMWARE], [7]),
            ("proxy-seabios-ipxe-rom", [Stage.OLD_IPXE, Stage.IPXE], [0]),
            ("proxy-ovmf-pxe", [Stage.FIRMWARE], [7]),
            ("proxy-ovmf-http", [Stage.FIRMWARE, Stage.IPXE], [16, 7]),
            ("udhcpc", [Stage.SYSTEM], []),
            ("dhclient", [Stage.SYSTEM], []),
            ("dhcpcd", [Stage.SYSTEM], []),
            ("networkd", [Stage.SYSTEM], []),
        ],
    )
    def test_who_asks_is_known(self, file: str, stages: list[Stage], archs: list[int]) -> None:
        clients = [describe(dhcp.parse(d.data)) for d in DHCP if d.file == file and d.port != 68]
        assert list(dict.fromkeys(client.stage for client in clients)) == stages
        assert list(dict.fromkeys(c.arch for c in clients if c.arch is not None)) == archs
        assert {client.http_boot for client in clients if client.arch == 16} <= {True}
        assert len({client.uuid for client in clients if client.stage is Stage.FIRMWARE}) <= 1


class TestTftp:
    @pytest.mark.parametrize("datagram", TFTP, ids=name_of)
    def test_there_and_back(self, datagram: Datagram) -> None:
        from scapy.layers.tftp import TFTP as SCAPY

        packet = tftp.parse(datagram.data)
        assert tftp.parse(tftp.build(packet)) == packet
        theirs = SCAPY(datagram.data)
        assert theirs.op == int.from_bytes(datagram.data[:2], "big")
        if isinstance(packet, tftp.Request):
            assert theirs.filename.decode() == packet.filename
            assert theirs.mode.decode() == packet.mode

    @pytest.mark.parametrize("datagram", one_of_each(TFTP, lambda data: data[:24]), ids=name_of)
    def test_damage(self, datagram: Datagram) -> None:
        for data in damaged(datagram.data[:200]):
            try:
                packet = tftp.parse(data)
            except WireError:
                continue
            assert tftp.parse(tftp.build(packet)) == packet


class TestDns:
    @pytest.mark.parametrize("datagram", queries(), ids=name_of)
    def test_dnspython_reads_the_same_question(self, datagram: Datagram) -> None:
        query = dns_wire.parse(datagram.data)
        theirs = dns.message.from_wire(datagram.data)
        assert query.name is not None
        assert query.name.rstrip(".").lower() == str(theirs.question[0].name).rstrip(".").lower()

    @pytest.mark.parametrize("datagram", queries(), ids=name_of)
    def test_damage(self, datagram: Datagram) -> None:
        for data in damaged(datagram.data):
            try:
                dns_wire.parse(data)
            except WireError:
                continue


def test_there_is_something_of_each() -> None:
    requests = [tftp.parse(d.data) for d in TFTP if d.port == 69]
    names = {request.filename for request in requests if isinstance(request, tftp.Request)}
    assert {"pxelinux.0", "/grub/grub.cfg", "autoexec.ipxe", "revocations_sbat.efi", "notes.txt"} <= names
    assert len({d.file for d in DHCP}) >= 13 and len(queries()) >= 8
    assert IPv4Address("10.77.0.1") in {dhcp.parse(d.data).siaddr for d in DHCP}
