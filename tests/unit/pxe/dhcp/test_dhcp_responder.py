"""The decision where we are the authority: RFC 2131 section by section."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Interface

import pytest
from dhcp_house import MAC, OTHER, SERVER, House, Net, discover, http, ipxe, message, pxe, select
from hypothesis import given
from hypothesis import strategies as st

from pxe.dhcp import codes, wire
from pxe.dhcp.codes import Kind
from pxe.dhcp.leases import DECLINED_SECONDS, OFFER_SECONDS
from pxe.dhcp.ports import Host, Lease
from pxe.dhcp.replies import Way
from pxe.dhcp.wire import BROADCAST, Packet

FIRST = IPv4Address("10.77.0.100")
RESERVED = IPv4Address("10.77.0.11")
FAR = IPv4Address("10.99.0.1")
HOST = Host("n1", RESERVED)


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


class TestReservations:
    def test_by_mac(self) -> None:
        net = Net(House(hosts={MAC: HOST}))
        assert net.lease(MAC) == RESERVED

    def test_inside_a_pool_nobody_else_gets_it(self) -> None:
        net = Net(House(hosts={MAC: Host("n1", FIRST)}))
        assert net.lease(OTHER) == FIRST + 1
        wish = net.ask(discover("52:54:00:00:00:03", {codes.REQUESTED_ADDRESS: FIRST.packed}))
        assert wish is not None and wish.packet.yiaddr == FIRST + 2
        assert net.lease(MAC) == FIRST

    def test_while_a_stranger_still_holds_it(self) -> None:
        net = Net()
        assert net.lease(OTHER) == FIRST
        net.house.hosts[MAC] = Host("n1", FIRST)
        out = net.handle(discover(MAC))
        assert out.replies[0].packet.yiaddr == FIRST + 1
        assert any(OTHER in note.text for note in out.notes)
        renew = message(Kind.REQUEST, OTHER, ciaddr=FIRST)
        nak = net.ask(renew, source=FIRST)
        assert nak is not None and nak.kind is Kind.NAK
        net.now += 3601
        assert net.lease(MAC) == FIRST

    def test_a_new_reservation_moves_its_host(self) -> None:
        net = Net()
        net.lease(MAC)
        net.house.hosts[MAC] = HOST
        nak = net.ask(message(Kind.REQUEST, ciaddr=FIRST), source=FIRST)
        assert nak is not None and nak.kind is Kind.NAK
        assert nak.packet.options[codes.MESSAGE] == b"reserved for you is 10.77.0.11"
        assert net.lease(MAC) == RESERVED

    def test_two_cards_of_one_host(self) -> None:
        net = Net(House(hosts={MAC: HOST, OTHER: HOST}))
        assert net.lease(MAC) == RESERVED
        assert net.lease(OTHER) == RESERVED

    def test_plugged_in_elsewhere_it_is_a_guest(self) -> None:
        net = Net(House(hosts={MAC: Host("n1", FAR)}))
        assert net.lease(MAC) == FIRST

    def test_name_and_options_of_the_host(self) -> None:
        host = Host(
            "n1", RESERVED, {"interface-mtu": 9000, "ntp-servers": ["10.77.0.7"], "dhcp-lease-time": 90}
        )
        net = Net(House(hosts={MAC: host}), options={"ntp-servers": ["10.77.0.1"], "nis-domain": "x"})
        reply = net.ask(discover(options={codes.PARAMETER_LIST: bytes((12, 26, 42, 40))}))
        assert reply is not None
        options = reply.packet.options
        assert (options[12], options[26], options[42], options[40]) == (
            b"n1",
            b"\x23\x28",
            b"\x0a\x4d\0\7",
            b"x",
        )
        assert options[codes.LEASE_TIME] == (90).to_bytes(4, "big")

    def test_an_option_that_cannot_be_written_is_left_out_and_told(self) -> None:
        net = Net(House(hosts={MAC: Host("n1", RESERVED, {"interface-mtu": 5})}))
        out = net.handle(discover())
        assert len(out.replies) == 1 and out.notes[1].kind == "dhcp.option"
        assert "interface-mtu" in out.notes[1].text

    def test_reservations_may_leave_although_nothing_could_be_stored(self) -> None:
        net = Net(House(hosts={MAC: HOST}))
        offer = net.ask(discover())
        assert offer is not None
        ack = net.ask(select(offer))
        assert ack is not None and ack.safe and ack.change is not None
        guest = net.ask(discover(OTHER))
        assert guest is not None
        assert not guest.safe


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


class TestDestinationSection4Point1:
    def test_broadcast_flag(self) -> None:
        reply = Net().ask(discover(flags=BROADCAST))
        assert reply is not None and reply.way is Way.BROADCAST and reply.port == 68

    def test_to_an_address_not_yet_owned(self) -> None:
        reply = Net().ask(discover())
        assert reply is not None
        assert (reply.way, reply.address) == (Way.DIRECT, FIRST)

    def test_relay(self) -> None:
        net = Net(None, {"cidr": "10.99.0.0/24", "mode": "authoritative", "pools": ["10.99.0.5-10.99.0.9"]})
        reply = net.ask(discover(giaddr=FAR), source=FAR)
        assert reply is not None
        assert (reply.way, reply.address, reply.port) == (Way.ROUTED, FAR, 67)
        assert reply.packet.yiaddr == IPv4Address("10.99.0.5") and reply.packet.giaddr == FAR

    def test_nak_through_a_relay_asks_it_to_broadcast(self) -> None:
        net = Net(None, {"cidr": "10.99.0.0/24", "mode": "authoritative"})
        nak = net.ask(message(Kind.REQUEST, options={50: FIRST.packed}, giaddr=FAR), source=FAR)
        assert nak is not None and nak.kind is Kind.NAK
        assert nak.packet.flags & BROADCAST and (nak.address, nak.port) == (FAR, 67)

    def test_no_hardware_address_that_a_frame_could_carry(self) -> None:
        packet = Packet(htype=32, options={53: b"\1", 61: b"\xff" + bytes(18)})
        reply = Net().ask(packet)
        assert reply is not None and reply.way is Way.BROADCAST


class TestRelays:
    NET2 = {"cidr": "10.99.0.0/24", "mode": "authoritative", "pools": ["10.99.0.5-10.99.0.9"]}  # noqa: RUF012

    def test_relay_data_comes_back_last_rfc3046(self) -> None:
        data = b"\x01\x04eth0\x02\x02sw"
        reply = Net(None, self.NET2).ask(discover(giaddr=FAR, options={82: data, 61: b"\0x"}))
        assert reply is not None
        assert reply.packet.options[82] == data and list(reply.packet.options)[-1] == 82

    def test_link_selection_rfc3527(self) -> None:
        data = b"\x05\x04" + FAR.packed
        reply = Net(None, self.NET2).ask(discover(giaddr=IPv4Address("192.0.2.1"), options={82: data}))
        assert reply is not None
        assert reply.packet.yiaddr == IPv4Address("10.99.0.5") and reply.address == IPv4Address("192.0.2.1")

    def test_server_identifier_override_rfc5107(self) -> None:
        net = Net(None, self.NET2)
        options = {82: b"\x0b\x04" + FAR.packed}
        offer = net.ask(discover(giaddr=FAR, options=options))
        assert offer is not None and offer.packet.options[54] == FAR.packed
        ack = net.ask(select(offer, options=options, giaddr=FAR))
        assert ack is not None and ack.kind is Kind.ACK

    def test_unknown_relay(self) -> None:
        assert Net().handle(discover(giaddr=IPv4Address("192.0.2.1"))).replies == []

    def test_a_client_does_not_choose_its_network(self) -> None:
        reply = Net(None, self.NET2).ask(discover(options={118: FAR.packed}))
        assert reply is not None and reply.packet.yiaddr == FIRST


class TestNetworks:
    def test_an_interface_without_a_subnet_is_left_alone(self) -> None:
        net = Net()
        elsewhere = (IPv4Interface("192.0.2.1/24"),)
        assert net.handle(discover(), interface="eth9", addresses=elsewhere).replies == []
        assert net.handle(discover(), interface="eth9", addresses=()).replies == []

    def test_a_subnet_may_name_its_interface(self) -> None:
        net = Net(interface="br1")
        assert net.handle(discover()).replies == []
        assert len(net.handle(discover(), interface="br1").replies) == 1

    def test_shared_network(self) -> None:
        more = {"cidr": "10.78.0.0/24", "mode": "authoritative", "pools": ["10.78.0.5"], "shared": "rack"}
        net = Net(None, more, pools=["10.77.0.100"], shared="rack")
        assert net.lease(MAC) == FIRST
        assert net.lease(OTHER) == IPv4Address("10.78.0.5")
        net.house.hosts[MAC] = Host("n1", IPv4Address("10.78.0.9"))
        assert net.lease(MAC) == IPv4Address("10.78.0.9")

    def test_on_a_shared_network_we_are_our_address_in_the_clients_subnet(self) -> None:
        """Without a router a client of the second subnet reaches no address of the first."""
        more = {"cidr": "10.78.0.0/24", "mode": "authoritative", "pools": ["10.78.0.5"], "shared": "rack"}
        net = Net(None, more, pools=["10.77.0.100"], shared="rack")
        second = IPv4Address("10.78.0.1")
        ours = (IPv4Interface("10.77.0.1/24"), IPv4Interface("10.78.0.1/24"))
        assert net.lease(OTHER) == FIRST
        for addresses, server in ((ours[:1], SERVER), (ours, second)):
            (offer,) = net.handle(discover(options=pxe()), addresses=addresses).replies
            assert offer.packet.yiaddr == IPv4Address("10.78.0.5")
            assert offer.packet.options[codes.SERVER_ID] == server.packed
            assert (offer.server, offer.packet.siaddr) == (server, server)
        (ack,) = net.handle(select(offer), addresses=ours).replies
        assert ack.kind is Kind.ACK and ack.packet.options[codes.SERVER_ID] == second.packed

    def test_a_relay_of_a_network_that_nobody_configured_is_told(self) -> None:
        net = Net()
        out = net.handle(discover(giaddr=IPv4Address("10.99.0.1")))
        assert not out.replies and out.trouble is not None
        assert out.trouble[0] == "dhcp.relay" and "10.99.0.1" in out.trouble[1]
        assert net.handle(discover(giaddr=IPv4Address("10.77.0.1"))).trouble is None

    def test_a_used_up_pool_is_an_alarm(self) -> None:
        net = Net(pools=["10.77.0.100"])
        assert net.lease(OTHER) == FIRST
        out = net.handle(discover())
        assert not out.replies and out.trouble is not None
        assert out.trouble[0] == "alarm.pools" and "10.77.0.0/24" in out.trouble[1] and MAC in out.trouble[1]
        assert Net(pools=[]).handle(discover()).trouble is None, "no pools are meant so"


class TestOptions:
    def test_in_the_order_asked_for_and_nothing_else(self) -> None:
        net = Net(
            options={"ntp-servers": ["10.77.0.1"], "domain-name-servers": ["10.77.0.1"], "nis-domain": "x"}
        )
        reply = net.ask(discover(options={codes.PARAMETER_LIST: bytes((42, 6, 3, 99, 1))}))
        assert reply is not None
        assert list(reply.packet.options) == [53, 54, 51, 1, 42, 6, 3]

    def test_all_of_them_for_a_client_that_does_not_say(self) -> None:
        reply = Net(options={"nis-domain": "x"}).ask(discover())
        assert reply is not None
        assert {1, 3, 15, 28, 40} <= set(reply.packet.options)
        assert reply.packet.options[15] == b"cluster.test"

    def test_size_limit(self) -> None:
        net = Net()
        for asked, limit in (
            (b"", 548),
            (b"\x02\x40", 548),
            (b"\x05\xc0", 1444),
            (b"\xff\xff", 1472),
            (b"\0\0", 548),
        ):
            options = {codes.MAX_SIZE: asked} if asked else {}
            reply = net.ask(discover(options=options))
            assert reply is not None and reply.limit == limit

    def test_vendor_class_is_not_sent_unasked(self) -> None:
        reply = Net(options={"vendor-class-identifier": "x"}).ask(discover())
        assert reply is not None and codes.VENDOR_CLASS not in reply.packet.options


class TestBoot:
    def test_firmware_gets_file_and_server(self) -> None:
        reply = Net().ask(discover(options=pxe(0)))
        assert reply is not None
        packet = reply.packet
        assert packet.file == b"undionly.kpxe" and packet.siaddr == SERVER
        assert packet.options[67] == b"undionly.kpxe\0" and packet.options[66] == b"10.77.0.1"
        assert packet.options[97] == pxe()[97]

    def test_http_boot(self) -> None:
        reply = Net().ask(discover(options=http()))
        assert reply is not None
        assert reply.packet.options[60] == b"HTTPClient"
        assert reply.packet.options[67] == f"http://10.77.0.1:8080/boot/{MAC}".encode()

    def test_ipxe_gets_a_url_and_need_not_wait_for_a_proxy(self) -> None:
        reply = Net().ask(discover(options=ipxe()))
        assert reply is not None
        assert reply.packet.file == f"http://10.77.0.1:8080/boot/{MAC}".encode()
        assert reply.packet.options[175] == b"\xb0\x01\x01"

    def test_systems_get_none(self) -> None:
        reply = Net().ask(discover())
        assert reply is not None
        assert reply.packet.file == b"" and reply.packet.siaddr == wire.NO_ADDRESS

    def test_a_system_may_be_given_one_by_option(self) -> None:
        reply = Net(options={"bootfile-name": "phone.cfg", "tftp-server-name": "a"}).ask(discover())
        assert reply is not None
        assert reply.packet.file == b"phone.cfg" and reply.packet.options[67] == b"phone.cfg"

    def test_nothing_planned(self) -> None:
        reply = Net(House(boot=False)).ask(discover(options=pxe()))
        assert reply is not None and reply.packet.file == b"" and 67 not in reply.packet.options

    def test_events_tell_the_story(self) -> None:
        net = Net()
        out = net.handle(discover(options=ipxe()))
        assert [note.kind for note in out.notes] == ["dhcp.discover", "dhcp.offer"]
        data = out.notes[1].data
        assert data["stage"] == "ipxe" and data["arch"] == 7 and data["address"] == "10.77.0.100"
        assert data["file"].startswith("http://") and data["reason"] == "for the test"


class TestBootpRfc1534:
    def test_a_reservation(self) -> None:
        net = Net(House(hosts={MAC: HOST}))
        reply = net.ask(message(None))
        assert reply is not None and reply.kind is None
        assert reply.packet.yiaddr == RESERVED and 53 not in reply.packet.options and reply.limit == 300

    def test_strangers_only_where_allowed_and_for_ever(self) -> None:
        assert Net().ask(message(None)) is None
        net = Net(bootp=True, pools=["10.77.0.100"])
        reply = net.ask(message(None))
        assert reply is not None and reply.packet.yiaddr == FIRST and reply.change is not None
        net.now += 1e9
        assert net.ask(discover(OTHER)) is None

    def test_its_address_is_looked_for_as_others_are(self) -> None:
        net = Net(bootp=True)
        assert net.handle(message(None)).check == FIRST
        net.responder.table.checked(IPv4Address("10.77.0.101"), net.now)
        assert net.handle(message(None, OTHER)).check is None

    def test_who_gets_none_takes_none_from_the_pool(self) -> None:
        net = Net(pools=["10.77.0.100-10.77.0.101"])
        for number in range(9):
            assert net.ask(message(None, f"52:54:00:00:09:{number:02x}")) is None
        assert [net.lease(MAC), net.lease(OTHER)] == [FIRST, IPv4Address("10.77.0.101")]
        assert net.responder.zones.all[0].pools[0]._cursor == int(FIRST) + 2  # without searching it again

    def test_on_a_shared_network_only_of_the_subnet_that_allows_it(self) -> None:
        more = {"cidr": "10.78.0.0/24", "mode": "authoritative", "pools": ["10.78.0.100"], "shared": "lan",
                "bootp": True}  # fmt: skip
        reply = Net(None, more, shared="lan").ask(message(None))
        assert reply is not None and reply.packet.yiaddr == IPv4Address("10.78.0.100")


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
