"""The shell around the decision: order of storing and sending, a full disk, failing look-ups, alarms."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface
from typing import Any

import pytest
from dhcp_house import MAC, OTHER, START, TABLE, House, discover, message, select

from pxe.dhcp import wire
from pxe.dhcp.codes import Kind
from pxe.dhcp.ports import Client, Host, Lease
from pxe.dhcp.replies import Reply
from pxe.dhcp.server import DhcpConfig, DhcpServer
from pxe.dhcp.subnet import build_subnet
from pxe.dhcp.wire import Packet
from pxe.dhcp.zones import Arrival


class FakePort:
    """One interface without sockets."""

    main = proxy = None
    sockets = ()

    def __init__(self, house: House) -> None:
        self.house = house
        self.interface = type("Card", (), {"name": "br0"})
        self.addresses = (IPv4Interface("10.77.0.1/24"),)
        self.waiting: list[tuple[bytes, Arrival]] = []
        self.sent: list[Reply] = []
        self.broken = False

    def put(self, *packets: Packet | bytes) -> None:
        for packet in packets:
            data = packet if isinstance(packet, bytes) else wire.build(packet, 1400)
            self.waiting.append((data, Arrival("br0", self.addresses)))

    def receive(self, limit: int) -> Iterator[tuple[bytes, Arrival]]:
        taken, self.waiting = self.waiting[:limit], self.waiting[limit:]
        yield from taken

    def send(self, reply: Reply, data: bytes) -> None:
        if self.broken:
            raise OSError(101, "Network is unreachable")
        if reply.change is not None and not self.house.full:
            assert self.house.kept[reply.change.lease.address] == reply.change.lease, (
                "sent before it was stored"
            )
        self.sent.append(reply)

    def close(self) -> None:
        pass


class Bench:
    def __init__(self, **table: Any) -> None:
        self.house = House()
        self.now = START
        config = DhcpConfig(
            (), (build_subnet({**TABLE, **table}),), "cluster.test", probe_seconds=0, check_seconds=0
        )
        self.server = DhcpServer(config, self.house, self.house, self.house, self.house, lambda: self.now)
        self.port = FakePort(self.house)

    def go(self, *packets: Packet | bytes) -> list[Reply]:
        """Let one batch in; what was sent."""
        self.port.put(*packets)
        self.port.sent = []
        self.server._readable()
        return self.port.sent

    def kinds(self) -> list[str]:
        return [kind for _mac, kind, _text, _data in self.house.events]


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()

    async def start() -> None:
        await made.server.start()
        await made.server.close()

    asyncio.run(start())
    made.server._ports = [made.port]  # type: ignore[list-item]
    yield made


MACS = [f"52:54:00:00:02:{n:02x}" for n in range(50)]


class TestBatches:
    def test_one_commit_for_all_that_waits(self, bench: Bench) -> None:
        offers = bench.go(*(discover(mac) for mac in MACS))
        assert len({offer.packet.yiaddr for offer in offers}) == 50
        acks = bench.go(*(select(offer, mac) for offer, mac in zip(offers, MACS, strict=True)))
        assert len(acks) == 50 and bench.house.commits == 1

    def test_offers_need_no_disk(self, bench: Bench) -> None:
        bench.go(discover())
        assert bench.house.commits == 0


class TestDiskFull:
    def test_silence_for_guests_answers_for_reservations_and_an_alarm(self, bench: Bench) -> None:
        bench.house.hosts[MAC] = Host("n1", IPv4Address("10.77.0.11"))
        own, guest = bench.go(discover(MAC), discover(OTHER))
        bench.house.full = True
        sent = bench.go(select(own, MAC), select(guest, OTHER))
        assert [str(reply.packet.yiaddr) for reply in sent] == ["10.77.0.11"]
        assert bench.server.counters.withheld == 1
        assert bench.kinds().count("alarm.leases") == 1
        bench.go(select(guest, OTHER))
        assert bench.kinds().count("alarm.leases") == 1  # not for each packet
        bench.house.full = False
        sent = bench.go(select(guest, OTHER))
        assert len(sent) == 1 and sent[0].packet.yiaddr in bench.house.kept

    def test_what_was_not_stored_is_free_again(self, bench: Bench) -> None:
        (offer,) = bench.go(discover(MAC))
        bench.house.full = True
        bench.go(select(offer, MAC))
        bench.house.full = False
        ask = message(Kind.REQUEST, OTHER, {50: offer.packet.yiaddr.packed})
        (reply,) = bench.go(ask)
        assert reply.kind is Kind.ACK


class TestTrouble:
    def test_garbage_is_counted_and_dropped(self, bench: Bench) -> None:
        sent = bench.go(b"", b"\xff" * 300, discover())
        assert len(sent) == 1
        assert (bench.server.counters.received, bench.server.counters.malformed) == (3, 2)

    def test_a_failing_look_up_costs_one_answer(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        real: Callable[[Client], Host | None] = bench.house.find

        def find(client: Client) -> Host | None:
            if client.mac == MAC:
                raise OSError("registry unreadable")
            return real(client)

        monkeypatch.setattr(bench.house, "find", find)
        sent = bench.go(discover(MAC), discover(OTHER))
        assert len(sent) == 1 and bench.server.counters.failed == 1
        assert "registry unreadable" in caplog.text

    def test_a_failing_journal_costs_no_answer(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        def record(*_arguments: Any) -> None:
            raise OSError("journal full")

        monkeypatch.setattr(bench.house, "record", record)
        assert len(bench.go(discover())) == 1
        assert "journal full" in caplog.text

    def test_an_unreachable_client_is_told_once_a_minute(self, bench: Bench) -> None:
        bench.port.broken = True
        bench.go(discover(MAC), discover(OTHER))
        assert bench.server.counters.unsent == 2 and bench.kinds().count("alarm.send") == 1
        bench.now += 61
        bench.go(discover(MAC))
        assert bench.kinds().count("alarm.send") == 2


def test_a_restart_loads_the_leases_by_their_end() -> None:
    """A machine with two records is remembered by the newer one."""
    house = House()
    for number, expires in ((120, 50.0), (110, 90.0), (115, 70.0)):
        address = IPv4Address(f"10.77.0.{number}")
        house.kept[address] = Lease(address, MAC, None, START + expires)
    from dhcp_house import Net

    net = Net(house)
    net.now = START + 100
    assert net.lease(MAC) == IPv4Address("10.77.0.110")


def test_nobody_is_answered_without_interfaces() -> None:
    bench = Bench()
    assert bench.server.config == replace(bench.server.config, interfaces=())

    async def run() -> None:
        await bench.server.start()
        assert bench.server._ports == []
        await bench.server.close()
        await bench.server.close()

    asyncio.run(run())


def test_a_missing_interface_is_named() -> None:
    house = House()
    server = DhcpServer(DhcpConfig(("nosuch0",), ()), house, house, house, house)
    with pytest.raises(OSError, match="no network interface 'nosuch0'"):
        asyncio.run(server.start())
