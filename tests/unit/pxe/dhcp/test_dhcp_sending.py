"""Answers leave in order, all of them, and never so many at once that a relay agent's socket overflows."""

from __future__ import annotations

import asyncio
from typing import Any

from pxe.dhcp.sending import A_SECOND, BURST, Sending

RELAY_HOLDS = 160  # answers in a socket buffer of Linux' default size


class Wire:
    """Takes what is sent, with the time it left at."""

    def __init__(self) -> None:
        self.now = 100.0
        self.left: list[tuple[float, int]] = []
        self.sending = Sending(self.send, lambda: self.now)

    def send(self, port: Any, reply: Any) -> None:
        self.left.append((self.now, reply))

    def put(self, first: int, count: int) -> None:
        self.sending.put((None, number) for number in range(first, first + count))  # type: ignore[misc]

    @property
    def order(self) -> list[int]:
        return [number for _at, number in self.left]


def test_a_few_leave_at_once_without_a_loop() -> None:
    wire = Wire()
    wire.put(0, BURST)
    assert wire.order == list(range(BURST))


def test_hundreds_take_some_milliseconds_and_keep_their_order() -> None:
    async def scene() -> Wire:
        wire = Wire()
        wire.put(0, 400)
        assert len(wire.left) == BURST
        while len(wire.left) < 500:
            wire.now += 0.001
            if wire.now > 100.0025 and wire.sending._waiting and wire.sending._waiting[-1][1] == 399:
                wire.put(400, 100)  # overtakes nothing
            await asyncio.sleep(0.0015)
        return wire

    wire = asyncio.run(scene())
    assert wire.order == list(range(500))
    for at in {at for at, _number in wire.left}:
        within = sum(at <= other < at + 0.001 for other, _number in wire.left)
        assert within <= BURST + A_SECOND / 1000 < RELAY_HOLDS


def test_steady_traffic_is_not_held_up() -> None:
    wire = Wire()
    for first in range(0, 20_000, 20):  # 20,000 a second
        wire.put(first, 20)
        wire.now += 0.001
    assert wire.order == list(range(20_000))


def test_at_the_end_the_rest_leaves() -> None:
    async def scene() -> Wire:
        wire = Wire()
        wire.put(0, 300)
        wire.sending.close()
        wire.sending.close()
        await asyncio.sleep(0.003)
        return wire

    assert asyncio.run(scene()).order == list(range(300))
