"""A lease's life where we are the authority, from DISCOVER to RELEASE: RFC 2131 section by section."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest
from dhcp_house import (
    FAR,
    FIRST,
    MAC,
    OTHER,
    SERVER,
    House,
    Net,
    discover,
    ipxe,
    message,
    pxe,
    select,
)
from hypothesis import given
from hypothesis import strategies as st

from pxe.dhcp import codes, wire
from pxe.dhcp.codes import Kind
from pxe.dhcp.leases import DECLINED_SECONDS, OFFER_SECONDS
from pxe.dhcp.ports import Host, Lease
from pxe.dhcp.replies import Way
from pxe.dhcp.wire import BROADCAST, Packet


class TestAllocationRfc2131Section3Point1:
    def test_the_four_messages(self) -> None:
        net = Net()
        offer = net.ask(discover(flags=BROADCAST))
        assert offer is not None and offer.kind is Kind.OFFER
        assert offer.packet.yiaddr == FIRST and offer.packet.xid == 0x1234 and offer.change is None
        assert offer.packet.options[codes.SERVER_ID] == SERVER.packed
        assert offer.packet.options[codes.LEASE_TIME] == (3600).to_bytes(4, "big")
        assert net.house.kept == {}
        ack = net.ask(select(offer))
        assert ack is not None and ack.kind is Kind.ACK and ack.packet.yiaddr == FIRST
        assert ack.change is not None
        assert net.house.kept[FIRST] == Lease(FIRST, MAC, None, net.now + 3600)

    def test_two_clients_never_get_one_address(self) -> None:
        net = Net()
        assert net.lease(MAC) != net.lease(OTHER)

    def test_an_offer_is_kept_for_its_client(self) -> None:
        net = Net()
        first, second = net.ask(discover(MAC)), net.ask(discover(OTHER))
        assert first is not None and second is not None
        assert first.packet.yiaddr != second.packet.yiaddr
        again = net.ask(discover(MAC))
        assert again is not None and again.packet.yiaddr == first.packet.yiaddr

    def test_an_offer_ends(self) -> None:
        net = Net(pools=["10.77.0.100"])
        assert net.ask(discover(MAC)) is not None
        assert net.ask(discover(OTHER)) is None
        net.now += OFFER_SECONDS + 1
        other = net.ask(discover(OTHER))
        assert other is not None and other.packet.yiaddr == FIRST

    def test_another_servers_offer_was_taken(self) -> None:
        net = Net(pools=["10.77.0.100"])
        offer = net.ask(discover(MAC))
        assert offer is not None
        out = net.handle(select(offer, options={codes.SERVER_ID: FAR.packed}))
        assert (out.replies, out.rival) == ([], FAR)
        assert net.ask(discover(OTHER)) is not None  # free at once

    def test_an_address_promised_to_another_is_refused(self) -> None:
        net = Net()
        offer = net.ask(discover(MAC))
        assert offer is not None
        nak = net.ask(select(offer, OTHER))
        assert nak is not None and nak.kind is Kind.NAK

    def test_the_client_asks_for_an_address(self) -> None:
        net = Net()
        wanted = IPv4Address("10.77.0.150")
        offer = net.ask(discover(options={codes.REQUESTED_ADDRESS: wanted.packed}))
        assert offer is not None and offer.packet.yiaddr == wanted
        outside = net.ask(discover(OTHER, {codes.REQUESTED_ADDRESS: IPv4Address("10.77.0.20").packed}))
        assert outside is not None and outside.packet.yiaddr == FIRST

    def test_it_gets_what_it_had_even_after_the_end(self) -> None:
        net = Net()
        had = net.lease(MAC)
        net.lease(OTHER)
        net.now += 100_000
        assert net.lease(MAC) == had

    def test_lease_time_asked_for_is_bounded(self) -> None:
        net = Net()
        for asked, given_seconds in ((600, 600), (1, 60), (10**6, 3600), (0xFFFFFFFF, 3600)):
            reply = net.ask(discover(options={codes.LEASE_TIME: asked.to_bytes(4, "big")}))
            assert reply is not None
            assert int.from_bytes(reply.packet.options[codes.LEASE_TIME], "big") == given_seconds

    def test_all_used_up(self) -> None:
        net = Net(pools=["10.77.0.100-10.77.0.101"])
        net.lease(MAC)
        net.lease(OTHER)
        out = net.handle(discover("52:54:00:00:00:03"))
        assert out.replies == [] and out.notes[-1].text == "all pools are used up"
        net.now += 3601
        assert net.lease("52:54:00:00:00:03") in (FIRST, FIRST + 1)

    def test_routers_and_our_own_address_are_never_given(self) -> None:
        net = Net(pools=["10.77.0.1-10.77.0.3"], routers=["10.77.0.2"])
        assert net.lease() == IPv4Address("10.77.0.3")

    def test_several_pools(self) -> None:
        net = Net(pools=["10.77.0.100", "10.77.0.120-10.77.0.121"])
        macs = [f"52:54:00:00:01:{n:02x}" for n in range(3)]
        assert [str(net.lease(mac)) for mac in macs] == ["10.77.0.100", "10.77.0.120", "10.77.0.121"]

    def test_only_registered_machines(self) -> None:
        net = Net(House(hosts={MAC: Host("n1", None)}), unknown=False)
        assert net.lease(MAC) == FIRST
        out = net.handle(discover(OTHER))
        assert out.replies == [] and "not registered" in out.notes[-1].text

    def test_restart_remembers(self) -> None:
        net = Net()
        had = net.lease(MAC)
        again = Net(net.house)
        assert again.lease(OTHER) != had
        assert again.lease(MAC) == had


class TestClientIdentifierSection4Point2:
    def test_it_stands_for_the_client(self) -> None:
        net = Net()
        one = net.lease(options={codes.CLIENT_ID: b"\0one"})
        assert net.lease(options={codes.CLIENT_ID: b"\0two"}) != one
        assert net.lease(OTHER, options={codes.CLIENT_ID: b"\0one"}) == one

    def test_it_comes_back_rfc6842(self) -> None:
        net = Net()
        reply = net.ask(discover(options={codes.CLIENT_ID: b"\0one"}))
        assert reply is not None and reply.packet.options[codes.CLIENT_ID] == b"\0one"
        plain = net.ask(discover(OTHER))
        assert plain is not None and codes.CLIENT_ID not in plain.packet.options

    def test_one_machine_on_its_way_up_keeps_its_address(self) -> None:
        """Firmware, iPXE and the system name themselves differently, one after the other."""
        net = Net()
        first = net.lease(options={**pxe(), codes.CLIENT_ID: b"\0" + bytes(16)})
        assert net.lease(options={**ipxe(), codes.CLIENT_ID: b"\1mac"}) == first
        assert net.lease(options={codes.CLIENT_ID: b"\xffduid"}) == first
        assert net.lease(options={**pxe(), codes.CLIENT_ID: b"\0" + bytes(16)}) == first  # rebooted


class TestInitRebootSection4Point3Point2:
    def reboot(self, address: IPv4Address, mac: str = MAC) -> Packet:
        return message(Kind.REQUEST, mac, {codes.REQUESTED_ADDRESS: address.packed})

    def test_its_own_address(self) -> None:
        net = Net()
        net.lease()
        ack = net.ask(self.reboot(FIRST))
        assert ack is not None and ack.kind is Kind.ACK

    def test_wrong_network(self) -> None:
        nak = Net().ask(self.reboot(FAR))
        assert (
            nak is not None and nak.kind is Kind.NAK and nak.packet.options[codes.MESSAGE] == b"wrong network"
        )
        assert nak.way is Way.BROADCAST and nak.packet.yiaddr == wire.NO_ADDRESS

    def test_somebody_elses(self) -> None:
        net = Net()
        net.lease(OTHER)
        nak = net.ask(self.reboot(FIRST))
        assert nak is not None and nak.kind is Kind.NAK

    def test_one_we_forgot(self) -> None:
        """An authority that lost its records takes a client at its word while the address is free."""
        net = Net()
        ack = net.ask(self.reboot(FIRST + 7))
        assert ack is not None and ack.kind is Kind.ACK and ack.packet.yiaddr == FIRST + 7
        assert net.lease(OTHER) != FIRST + 7

    def test_no_pool_address(self) -> None:
        nak = Net().ask(self.reboot(IPv4Address("10.77.0.20")))
        assert nak is not None and nak.kind is Kind.NAK


class TestRenewingAndRebinding:
    def test_renew_is_answered_straight(self) -> None:
        net = Net()
        net.lease()
        net.now += 1800
        ack = net.ask(message(Kind.REQUEST, ciaddr=FIRST), source=FIRST)
        assert ack is not None and ack.kind is Kind.ACK
        assert (ack.way, ack.address, ack.port) == (Way.ROUTED, FIRST, 68)
        assert ack.packet.ciaddr == FIRST and ack.packet.yiaddr == FIRST
        assert net.house.kept[FIRST].expires == net.now + 3600

    def test_rebind_to_a_stranger_network(self) -> None:
        nak = Net().ask(message(Kind.REQUEST, ciaddr=FAR))
        assert nak is not None and nak.kind is Kind.NAK

    def test_renew_through_a_router_without_a_relay(self) -> None:
        net = Net(None, {"cidr": "10.99.0.0/24", "mode": "authoritative", "pools": ["10.99.0.5-10.99.0.9"]})
        address = IPv4Address("10.99.0.5")
        ack = net.ask(message(Kind.REQUEST, ciaddr=address), source=address)
        assert ack is not None and ack.kind is Kind.ACK and ack.packet.yiaddr == address

    def test_times_when_asked_for(self) -> None:
        reply = Net().ask(discover(options={codes.PARAMETER_LIST: bytes((58, 59))}))
        assert reply is not None
        assert reply.packet.options[58] == (1800).to_bytes(4, "big")
        assert reply.packet.options[59] == (3150).to_bytes(4, "big")

    def test_for_ever(self) -> None:
        net = Net(lease_seconds=0xFFFFFFFF)
        net.lease()
        net.now += 1e9
        assert net.lease(OTHER) != FIRST


class TestDeclineSection4Point3Point3:
    def test_the_address_rests(self) -> None:
        net = Net(pools=["10.77.0.100-10.77.0.101"])
        net.lease()
        decline = message(Kind.DECLINE, options={50: FIRST.packed, 54: SERVER.packed})
        assert net.ask(decline) is None
        assert net.house.kept[FIRST].state == "declined"
        assert net.lease() == FIRST + 1
        net.now += DECLINED_SECONDS + 1
        assert net.lease(OTHER) == FIRST

    def test_of_anothers_address_means_nothing(self) -> None:
        net = Net()
        net.lease(OTHER)
        assert net.handle(message(Kind.DECLINE, options={50: FIRST.packed})).changes == []


class TestReleaseSection4Point3Point4:
    def test_free_for_others_and_first_for_its_own(self) -> None:
        net = Net(pools=["10.77.0.100"])
        net.lease()
        assert net.ask(message(Kind.RELEASE, ciaddr=FIRST), source=FIRST) is None
        assert net.house.kept[FIRST].state == "released"
        assert net.lease(MAC) == FIRST
        net.ask(message(Kind.RELEASE, ciaddr=FIRST), source=FIRST)
        assert net.lease(OTHER) == FIRST

    def test_of_anothers_lease_means_nothing(self) -> None:
        net = Net()
        net.lease(OTHER)
        assert net.handle(message(Kind.RELEASE, MAC, ciaddr=FIRST)).changes == []


class TestInformSection4Point3Point5:
    def test_settings_without_a_lease(self) -> None:
        net = Net(options={"ntp-servers": ["10.77.0.1"]})
        mine = IPv4Address("10.77.0.50")
        reply = net.ask(message(Kind.INFORM, ciaddr=mine, options={55: bytes((42,))}), source=mine)
        assert reply is not None and reply.kind is Kind.ACK
        assert reply.packet.yiaddr == wire.NO_ADDRESS and reply.address == mine
        assert reply.packet.options[42] == SERVER.packed
        assert not {51, 58, 59} & set(reply.packet.options)
        assert net.house.kept == {}


class TestNonsense:
    @pytest.mark.parametrize("kind", [b"", b"\0", b"\x09", b"\1\1"])
    def test_message_types_that_are_none(self, kind: bytes) -> None:
        assert Net().handle(Packet(chaddr=b"123456", options={53: kind})).replies == []

    def test_replies_of_other_servers(self) -> None:
        assert Net().handle(message(Kind.OFFER, op=wire.REPLY)).replies == []

    def test_what_only_servers_say(self) -> None:
        for kind in (Kind.OFFER, Kind.ACK, Kind.NAK):
            assert Net().handle(message(kind)).replies == []

    def test_nobody(self) -> None:
        assert Net().handle(Packet(options={53: b"\1"})).replies == []

    def test_a_request_that_names_no_address(self) -> None:
        assert Net().handle(message(Kind.REQUEST)).replies == []

    @given(st.binary(max_size=400), st.sampled_from([67, 4011]), st.sampled_from(["authoritative", "proxy"]))
    def test_any_options(self, options: bytes, port: int, mode: str) -> None:
        """Whatever parses gets an answer that can be built, or none."""
        net = Net(mode=mode)
        data = wire.build(discover(options=pxe()))[:-1]
        try:
            packet = wire.parse(data[:240] + options)
        except wire.WireError:
            return
        for reply in net.responder.handle(packet, net.arrival, net.now).replies:
            built, _dropped = wire.build_fitting(reply.packet, reply.limit, frozenset())
            assert wire.parse(built).xid == packet.xid
