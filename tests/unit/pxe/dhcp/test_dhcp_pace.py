"""Few packets are read at once, many in rounds; whatever happens, somebody listens in the end."""

from __future__ import annotations

import asyncio

import pytest

from pxe.dhcp.pace import BUSY, FULL, Pace


class Wire:
    """Rounds of packets, as many as are listed, and nothing after them."""

    def __init__(self, *rounds: int | Exception) -> None:
        self.rounds = list(rounds)
        self.listening = True
        self.pace = Pace(self.read, lambda: self.turn(True), lambda: self.turn(False))
        self.heard_while: list[bool] = []

    def read(self) -> int:
        self.heard_while.append(self.listening)
        found = self.rounds.pop(0) if self.rounds else 0
        if isinstance(found, Exception):
            raise found
        return found

    def turn(self, on: bool) -> None:
        self.listening = on

    async def calm(self) -> None:
        for _ in range(10_000):
            if self.listening:
                return
            await asyncio.sleep(0.001)
        raise AssertionError("nobody listens")


def test_a_lone_client_is_read_at_once() -> None:
    wire = Wire(1, BUSY - 1)
    wire.pace.heard()
    wire.pace.heard()
    assert wire.listening and wire.heard_while == [True, True]


@pytest.mark.parametrize("rounds", [(BUSY,), (FULL, FULL, FULL, 50, 3), (BUSY, 9, RuntimeError("a bug"))])
def test_a_rush_is_read_in_rounds_until_it_ends(rounds: tuple[int | Exception, ...]) -> None:
    async def scene() -> None:
        wire = Wire(*rounds)
        asyncio.get_running_loop().set_exception_handler(lambda *_: None)
        wire.pace.heard()
        assert not wire.listening
        await wire.calm()
        assert wire.rounds == [] and wire.heard_while[1:] == [False] * (len(wire.heard_while) - 1)

    asyncio.run(scene())


def test_closed_in_a_rush() -> None:
    async def scene() -> None:
        wire = Wire(BUSY, 9)
        wire.pace.heard()
        wire.pace.close()
        wire.pace.close()
        await asyncio.sleep(0.01)
        assert wire.rounds == [9]

    asyncio.run(scene())
