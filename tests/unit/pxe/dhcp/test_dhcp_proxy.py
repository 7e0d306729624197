"""Beside another server: boot data for boot programs, and nothing else (PXE 2.1 chapter 2)."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest
from dhcp_house import MAC, SERVER, House, Net, discover, http, ipxe, message, pxe

from pxe.dhcp import codes, wire
from pxe.dhcp.codes import Kind
from pxe.dhcp.replies import Way

MINE = IPv4Address("10.77.0.150")


def proxy(house: House | None = None) -> Net:
    return Net(house, mode="proxy")


class TestDiscover:
    def test_boot_data_without_an_address(self) -> None:
        net = proxy()
        reply = net.ask(discover(options=pxe(0)))
        assert reply is not None and reply.kind is Kind.OFFER
        packet = reply.packet
        assert (
            packet.yiaddr == wire.NO_ADDRESS and packet.siaddr == SERVER and packet.file == b"undionly.kpxe"
        )
        assert packet.options[60] == b"PXEClient" and packet.options[43] == b"\x06\x01\x08\xff"
        assert packet.options[97] == pxe()[97] and packet.options[54] == SERVER.packed
        assert not {1, 3, 51, 58, 59} & set(packet.options)
        assert net.house.kept == {}

    def test_it_goes_to_everybody_for_nobody_has_an_address(self) -> None:
        reply = proxy().ask(discover(options=pxe()))
        assert reply is not None and reply.way is Way.BROADCAST and reply.port == 68

    def test_http_boot(self) -> None:
        reply = proxy().ask(discover(options=http()))
        assert reply is not None
        assert reply.packet.options[60] == b"HTTPClient" and 43 not in reply.packet.options
        assert reply.packet.options[67].startswith(b"http://")

    def test_ipxe(self) -> None:
        reply = proxy().ask(discover(options=ipxe()))
        assert reply is not None
        assert reply.packet.file.startswith(b"http://") and reply.packet.options[60] == b"PXEClient"
        assert 175 not in reply.packet.options  # it must go on waiting for the server with the addresses

    def test_nothing_planned(self) -> None:
        assert proxy(House(boot=False)).ask(discover(options=pxe())) is None


class TestSilence:
    @pytest.mark.parametrize("kind", [None, *Kind])
    def test_for_systems(self, kind: Kind | None) -> None:
        net = proxy()
        out = net.handle(message(kind, options={50: MINE.packed}, ciaddr=MINE))
        assert out.replies == [] and out.changes == [] and out.notes == []

    def test_for_requests_to_the_other_server(self) -> None:
        options = {**pxe(), 50: MINE.packed, 54: IPv4Address("10.77.0.254").packed}
        assert proxy().handle(message(Kind.REQUEST, options=options)).replies == []

    def test_no_nak_ever(self) -> None:
        wrong = IPv4Address("192.168.1.5")
        assert proxy().handle(message(Kind.REQUEST, options={**pxe(), 50: wrong.packed})).replies == []


class TestBootServerPort4011:
    @pytest.mark.parametrize("mode", ["proxy", "authoritative"])
    def test_a_request_straight_to_us(self, mode: str) -> None:
        net = Net(mode=mode)
        request = message(Kind.REQUEST, options={**pxe(0), 43: b"\x47\x04\0\0\0\0\xff"}, ciaddr=MINE)
        reply = net.ask(request, port=4011, source=MINE, source_port=4011)
        assert reply is not None and reply.kind is Kind.ACK
        assert (reply.way, reply.address, reply.port, reply.via) == (Way.ROUTED, MINE, 4011, 4011)
        packet = reply.packet
        assert packet.yiaddr == wire.NO_ADDRESS and packet.ciaddr == MINE and packet.file == b"undionly.kpxe"
        assert packet.options[60] == b"PXEClient"
        assert packet.options[43] == b"\x06\x01\x08\x47\x04\0\0\0\0\xff"  # the item asked for comes back
        assert net.house.kept == {}

    def test_systems_have_no_business_there(self) -> None:
        assert proxy().handle(message(Kind.REQUEST, ciaddr=MINE), port=4011, source=MINE).replies == []

    def test_nor_has_nobody(self) -> None:
        assert proxy().handle(message(Kind.REQUEST, options=pxe()), port=4011).replies == []

    def test_events(self) -> None:
        out = proxy().handle(message(Kind.REQUEST, options=pxe(), ciaddr=MINE), port=4011, source=MINE)
        assert [note.kind for note in out.notes] == ["dhcp.request", "dhcp.ack"]
        assert out.notes[0].mac == MAC

    def test_relayed_discovers_are_answered_through_the_relay(self) -> None:
        reply = proxy().ask(discover(options=pxe(), giaddr=IPv4Address("10.77.0.9")))
        assert reply is not None and reply.port == 67 and codes.VENDOR_CLASS in reply.packet.options
