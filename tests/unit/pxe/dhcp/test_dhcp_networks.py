"""Which network a client is in, by interface, relay or shared segment, and where the answer goes."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Interface

from dhcp_house import (
    FAR,
    FIRST,
    MAC,
    OTHER,
    SERVER,
    Net,
    discover,
    message,
    pxe,
    select,
)

from pxe.dhcp import codes
from pxe.dhcp.codes import Kind
from pxe.dhcp.ports import Host
from pxe.dhcp.replies import Way
from pxe.dhcp.wire import BROADCAST, Packet


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
