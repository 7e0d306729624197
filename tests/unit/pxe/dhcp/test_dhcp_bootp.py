"""Clients of before DHCP: BOOTP as RFC 1534 has it."""

from __future__ import annotations

from ipaddress import IPv4Address

from dhcp_house import (
    FIRST,
    HOST,
    MAC,
    OTHER,
    RESERVED,
    House,
    Net,
    discover,
    message,
)


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
