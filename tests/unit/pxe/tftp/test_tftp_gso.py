"""Whole windows in one call, and plainly where the kernel or the card cannot cut them apart."""

from __future__ import annotations

import errno
import random
import socket

import pytest

from pxe.tftp.gso import UDP_SEGMENT, Outlet
from pxe.tftp.source import Memory

DATA = random.Random(3).randbytes(40 * 1000 + 17)


class Card:
    """A socket that notes what it is told; `refuses` what it says to more than one block at once."""

    def __init__(self, refuses: int = 0, old: bool = False, room: int = 1000) -> None:
        self.refuses, self.old, self.room = refuses, old, room
        self.sizes: list[int] = []
        self.sent: list[bytes] = []

    def setsockopt(self, level: int, option: int, value: int) -> None:
        assert (level, option) == (socket.IPPROTO_UDP, UDP_SEGMENT)
        if self.old:
            raise OSError(errno.ENOPROTOOPT, "no such option")
        self.sizes.append(value)

    def send(self, raw: memoryview) -> int:
        if len(raw) > 1004 and self.refuses:
            raise OSError(self.refuses, "it cannot")
        if len(self.sent) >= self.room:
            raise BlockingIOError
        self.sent.append(bytes(raw))
        return len(raw)


def numbers(first: int, count: int) -> list[int]:
    return list(range(first, first + count))


def blocks(first: int, count: int) -> list[bytes]:
    return [
        bytes((0, 3, *n.to_bytes(2, "big"))) + DATA[(n - 1) * 1000 : n * 1000] for n in numbers(first, count)
    ]


def outlet(card: Card, block: int = 1000) -> Outlet:
    return Outlet(card, Memory(DATA), block, 16, 41)  # type: ignore[arg-type]


def test_a_window_is_one_call() -> None:
    card = Card()
    out = outlet(card)
    assert out.window(1, 16, numbers) == 16
    out.prepare(17, numbers(17, 16))
    assert out.window(17, 16, numbers) == 16
    assert out.window(33, 9, numbers) == 9  # with the last block, which is short
    assert card.sizes == [1004]
    assert card.sent == [b"".join(blocks(1, 16)), b"".join(blocks(17, 16)), b"".join(blocks(33, 9))]


@pytest.mark.parametrize("card", [Card(refuses=errno.EIO), Card(refuses=errno.EMSGSIZE), Card(old=True)])
def test_plainly_where_it_cannot_be(card: Card) -> None:
    out = outlet(card)
    assert out.window(1, 16, numbers) == 16
    assert out.window(33, 9, numbers) == 9
    assert card.sent == blocks(1, 16) + blocks(33, 9)
    assert card.sizes == ([] if card.old else [1004, 0])


def test_other_packets_are_never_cut_apart() -> None:
    card = Card()
    assert outlet(card, 400).window(1, 16, numbers) == 16
    assert card.sizes == [] and len(card.sent) == 16


def test_a_full_buffer_is_told() -> None:
    card = Card(old=True, room=5)
    assert outlet(card).window(1, 16, numbers) == 5
    assert outlet(Card(room=0)).window(1, 16, numbers) == 0


def test_several_windows_are_made_ready_at_once() -> None:
    card = Card()
    out = Outlet(card, Memory(DATA), 1000, 8, 41)  # type: ignore[arg-type]
    assert out.cuts(8) and out.run == 41
    sent, rest = out.windows(1, numbers(1, 24), 8)
    assert sent == 8 and card.sent == [b"".join(blocks(1, 8))]
    assert [bytes(frame) for frame in rest] == [b"".join(blocks(9, 8)), b"".join(blocks(17, 8))]
    out.prepare(25, numbers(25, 16))
    sent, rest = out.windows(25, numbers(25, 16), 8)
    assert sent == 8 and [bytes(frame) for frame in rest] == [b"".join(blocks(33, 8))]


def test_where_windows_cannot_be_cut_apart_only_one_is_made_ready() -> None:
    card = Card(refuses=errno.EIO)
    out = Outlet(card, Memory(DATA), 1000, 8, 41)  # type: ignore[arg-type]
    sent, _rest = out.windows(1, numbers(1, 24), 8)
    assert sent == 8 and card.sent == blocks(1, 8) and not out.cuts(8)
    old = Outlet(Card(old=True), Memory(DATA), 1000, 8, 41)  # type: ignore[arg-type]
    assert old.run == 8 and not old.cuts(8)
