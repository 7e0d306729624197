"""Somebody sets the clock, by years, both ways: no lease is lost, given twice, or kept for ever."""

from __future__ import annotations

import asyncio
from ipaddress import IPv4Address

import pytest
from dhcp_house import MAC, OTHER, START, TABLE, House, discover, message, select
from test_dhcp_server import FakePort

from pxe.dhcp.codes import Kind
from pxe.dhcp.leases import NEVER
from pxe.dhcp.replies import Reply
from pxe.dhcp.server import DhcpConfig, DhcpServer
from pxe.dhcp.subnet import build_subnet
from pxe.dhcp.wire import Packet

YEARS = 5 * 365 * 86400.0
ONLY = IPv4Address("10.77.0.100")


class Clocked:
    """A server with one address to give, whose two clocks are turned by hand."""

    def __init__(self, house: House, wall: float = START, **table: object) -> None:
        self.house, self.wall, self.even = house, wall, 1000.0
        subnet = build_subnet({**TABLE, "pools": ["10.77.0.100-10.77.0.100"], "lease_seconds": 3600, **table})
        config = DhcpConfig((), (subnet,), probe_seconds=0, check_seconds=0)
        self.server = DhcpServer(config, house, house, house, house, lambda: self.wall, lambda: self.even)

        async def start() -> None:
            await self.server.start()
            await self.server.close()

        asyncio.run(start())
        self.port = FakePort(house)
        self.server._ports = [self.port]  # type: ignore[list-item]

    def go(self, *packets: Packet) -> list[Reply]:
        self.port.put(*packets)
        self.port.sent = []
        self.server._readable()
        return self.port.sent

    def lease(self, mac: str = MAC) -> IPv4Address:
        (offer,) = self.go(discover(mac))
        (ack,) = self.go(select(offer, mac))
        assert ack.kind is Kind.ACK
        return ack.packet.yiaddr

    def passes(self, seconds: float) -> None:
        self.wall += seconds
        self.even += seconds

    def set_by(self, seconds: float) -> None:
        self.wall += seconds


@pytest.mark.parametrize("jump", [YEARS, -YEARS, 3600.0, -3600.0])
def test_a_lease_outlives_the_jump_and_ends_when_it_should(jump: float) -> None:
    net = Clocked(House())
    assert net.lease() == ONLY
    net.passes(100)
    net.set_by(jump)
    assert net.go(discover(OTHER)) == []  # the one address is still taken
    assert net.house.kept[ONLY].expires == START + 3600 + jump  # on disk too
    (reply,) = net.go(message(Kind.REQUEST, OTHER, {50: ONLY.packed}))
    assert reply.kind is Kind.NAK
    net.passes(3400)
    assert net.go(discover(OTHER)) == []
    net.passes(101)
    assert net.lease(OTHER) == ONLY  # not held for years


@pytest.mark.parametrize("jump", [YEARS, -YEARS])
def test_a_promise_survives_the_jump(jump: float) -> None:
    net = Clocked(House())
    (offer,) = net.go(discover())
    net.set_by(jump)
    assert net.go(discover(OTHER)) == []
    (ack,) = net.go(select(offer))
    assert ack.kind is Kind.ACK
    assert "alarm.clock" in [event[1] for event in net.house.events]


def test_a_lease_for_ever_stays_one() -> None:
    net = Clocked(House(), lease_seconds=0xFFFFFFFF)
    net.lease()
    net.set_by(YEARS)
    net.go(discover(OTHER))
    assert net.house.kept[ONLY].expires == NEVER


def test_moved_leases_are_stored_later_when_the_disk_is_full() -> None:
    net = Clocked(House())
    net.lease()
    net.house.full = True
    net.set_by(YEARS)
    assert net.go(discover(OTHER)) == []
    assert net.house.kept[ONLY].expires == START + 3600
    net.house.full = False
    net.go(message(Kind.REQUEST, MAC, ciaddr=ONLY))
    assert net.house.kept[ONLY].expires == net.wall + 3600


def test_a_slew_is_no_jump() -> None:
    net = Clocked(House())
    net.lease()
    before = net.house.commits
    for _ in range(10):
        net.passes(10)
        net.set_by(0.15)
        net.go(discover(OTHER))
    assert net.house.commits == before


def test_what_a_person_takes_back_goes_to_the_next() -> None:
    net = Clocked(House())
    net.lease()
    assert net.go(discover(OTHER)) == []
    net.house.back = [ONLY]
    net.server._take_back()
    assert net.house.kept[ONLY].state == "released"
    assert net.lease(OTHER) == ONLY
