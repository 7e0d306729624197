"""The quick way of a transfer in lockstep beside the long one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pxe.tftp.session import Burst, Sender
from pxe.tftp.terms import Terms

KINDS = ["next", "next", "next", "again", "wild", "tick"]


@given(
    script=st.lists(st.tuples(st.sampled_from(KINDS), st.integers(0, 65535))),
    rollover=st.sampled_from([0, 1]),
    blocks=st.sampled_from([1, 2, 20]),
    start=st.sampled_from([0, 65530]),
)
def test_the_quick_way_in_lockstep_decides_as_the_long_one(
    script: list[tuple[str, int]], rollover: int, blocks: int, start: int
) -> None:
    """Two senders get the same answers; one is asked by `follows` first."""
    size = (start + blocks) * 8 + 3
    quick, plain = (Sender(size, Terms(blksize=8, rollover=rollover)) for _ in range(2))
    now = 100.0
    for it in (quick, plain):
        it.start(now)
    for block in range(1, start + 1):
        now += 0.001
        number = plain.number(block)
        assert acked(quick, number, now) == plain.ack(number, now)
    for kind, wild in script:
        now += 0.003
        if kind == "tick":
            now = max(now, plain.deadline, quick.deadline)
            assert quick.tick(now) == plain.tick(now)
            continue
        last = plain.acked_bytes // 8
        number = {"next": plain.number(last + 1), "again": plain.number(last), "wild": wild}[kind]
        assert acked(quick, number, now) == plain.ack(number, now)
        assert (quick.done, quick.failed, quick.resent) == (plain.done, plain.failed, plain.resent)
        if plain.done or plain.failed:
            break


def acked(it: Sender, number: int, now: float) -> Burst | None:
    """As a transfer in lockstep takes an ACK."""
    block = it.follows(number, now)
    return Burst(block, 1) if block else it.ack(number, now)


def test_the_quick_way_takes_nothing_but_the_awaited_ack() -> None:
    it = Sender(100, Terms(blksize=8))
    it.start(0.0)
    assert it.follows(1, 0.1) == 0, "the first answer is told to the flight recorder"
    assert it.ack(1, 0.1) == Burst(2, 1)
    for number in (0, 1, 3, -1, -0x40000, 1 << 31):
        assert it.follows(number, 0.2) == 0
    assert it.follows(2, 0.2) == 3
    it.tick(it.deadline)
    assert it.follows(3, 9.0) == 0, "sent twice: no one knows which one was answered"
