"""A slow disk: the next packets are decided while leases are stored, and no ACK leaves before its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest
from dhcp_house import MAC, OTHER, TABLE, House, discover, select
from test_dhcp_server import FakePort

from pxe.dhcp.codes import Kind
from pxe.dhcp.ports import Lease
from pxe.dhcp.replies import Reply
from pxe.dhcp.server import DhcpConfig, DhcpServer
from pxe.dhcp.subnet import build_subnet

THIRD = "52:54:00:00:00:03"


class SlowHouse(House):
    """Its disk takes a batch when it is let."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Semaphore(0)
        self.fails: list[bool] = []  # of each batch; those beyond are stored
        self.batches: list[list[str]] = []

    def commit(self, batch: Sequence[Lease]) -> None:
        assert self.gate.acquire(timeout=20)
        self.full = bool(self.fails and self.fails.pop(0))
        super().commit(batch)
        self.batches.append([lease.mac for lease in batch])


class Slow:
    """A server whose disk was slow before."""

    def __init__(self, **table: Any) -> None:
        self.house = SlowHouse()
        config = DhcpConfig((), (build_subnet({**TABLE, **table}),), probe_seconds=0, check_seconds=0)
        self.server = DhcpServer(config, self.house, self.house, self.house, self.house)
        self.port = FakePort(self.house)

    async def start(self) -> None:
        await self.server.start()
        self.server._ports = [self.port]  # type: ignore[list-item]
        assert self.server._storing is not None
        self.server._storing.average = 1.0

    def go(self, *packets: Any) -> list[Reply]:
        """What is answered at once."""
        self.port.put(*packets)
        self.port.sent = []
        self.server._readable()
        return self.port.sent

    async def until(self, true: Callable[[], object]) -> None:
        for _ in range(20_000):
            if true():
                return
            await asyncio.sleep(0.001)
        raise AssertionError("it did not happen in time")

    def acked(self) -> list[str]:
        return [reply.packet.chaddr.hex(":") for reply in self.port.sent if reply.kind is Kind.ACK]


def run(scene: Callable[[Slow], Awaitable[None]], **table: Any) -> None:
    async def play() -> None:
        slow = Slow(**table)
        await slow.start()
        try:
            await asyncio.wait_for(scene(slow), 60)
        finally:
            slow.house.gate.release(100)
            slow.server._ports = []
            await slow.server.close()

    asyncio.run(play())


def test_others_are_served_while_the_disk_works() -> None:
    async def scene(slow: Slow) -> None:
        first, second = slow.go(discover(MAC), discover(OTHER))
        assert slow.go(select(first, MAC)) == []
        assert slow.go(select(second, OTHER)) == []
        (third,) = slow.go(discover(THIRD))
        assert third.kind is Kind.OFFER
        assert slow.go(select(third, THIRD)) == [] and slow.house.batches == []
        slow.house.gate.release()
        await slow.until(slow.acked)
        assert slow.acked() == [MAC]
        slow.house.gate.release()
        await slow.until(lambda: len(slow.acked()) == 3)
        assert slow.house.batches == [[MAC], [OTHER, THIRD]]  # what came meanwhile is one batch

    run(scene)


def test_a_batch_that_fails_takes_no_other_with_it() -> None:
    async def scene(slow: Slow) -> None:
        first, second = slow.go(discover(MAC), discover(OTHER))
        slow.house.fails = [True]
        slow.go(select(first, MAC))
        slow.go(select(second, OTHER))
        slow.house.gate.release(2)
        await slow.until(slow.acked)
        assert slow.acked() == [OTHER] and slow.server.counters.withheld == 1
        assert [event[1] for event in slow.house.events].count("alarm.leases") == 1

    run(scene)


@pytest.mark.parametrize("fails", [[True, True], [True, False]])
def test_a_repeated_request_that_fails_too_leaves_the_address_free(fails: list[bool]) -> None:
    async def scene(slow: Slow) -> None:
        (offer,) = slow.go(discover(MAC))
        slow.house.fails = [*fails]
        slow.go(select(offer, MAC))
        slow.go(select(offer, MAC))  # decided upon the first one, which is not stored yet
        slow.house.gate.release(2)
        await slow.until(lambda: not slow.house.fails and slow.server._storing._flying is None)  # type: ignore[union-attr]
        assert bool(slow.acked()) == (False in fails)
        offers = slow.go(discover(OTHER))
        assert len(offers) == (0 if False in fails else 1)

    run(scene, pools=["10.77.0.100-10.77.0.100"])


def test_what_is_being_stored_is_answered_before_the_end() -> None:
    async def scene(slow: Slow) -> None:
        (offer,) = slow.go(discover(MAC))
        slow.go(select(offer, MAC))
        closing = asyncio.ensure_future(slow.server.close())
        await asyncio.sleep(0)
        slow.house.gate.release()
        await closing
        assert slow.acked() == [MAC]

    run(scene)
