"""The quick way of a transfer in lockstep beside the long one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pxe.tftp.session import Burst, Sender
from pxe.tftp.terms import Terms

KINDS = ["run", "next", "again", "wild", "tick"]


@given(
    script=st.lists(st.tuples(st.sampled_from(KINDS), st.integers(0, 65535))),
    rollover=st.sampled_from([0, 1]),
    blocks=st.sampled_from([1, 2, 20]),
    start=st.sampled_from([0, 65530]),
)
def test_the_quick_way_in_lockstep_comes_to_the_same_as_the_long_one(
    script: list[tuple[str, int]], rollover: int, blocks: int, start: int
) -> None:
    """Two senders get the same answers; one lets ACKs be answered without it, wherever it says so."""
    size = (start + blocks) * 8 + 3
    quick, plain = (Sender(size, Terms(blksize=8, rollover=rollover)) for _ in range(2))
    now = 100.0
    for it in (quick, plain):
        it.start(now)
    script = [("next", 0), ("run", start), *script]
    for kind, wild in script:
        now += 0.003
        if kind == "tick":
            now = max(now, plain.deadline, quick.deadline)
            assert quick.tick(now) == plain.tick(now)
            continue
        if kind == "run":
            run = min(quick.run(), wild)
            for _ in range(run):
                now += 0.001
                block = plain.acked_bytes // 8 + 1
                assert plain.ack(plain.number(block), now) == Burst(block + 1, 1)
            if run:
                quick.ran(run, now)
            continue
        last = plain.acked_bytes // 8
        number = {"next": plain.number(last + 1), "again": plain.number(last), "wild": wild}[kind]
        assert quick.ack(number, now) == plain.ack(number, now)
        assert (quick.done, quick.failed, quick.resent) == (plain.done, plain.failed, plain.resent)
        assert quick.acked_bytes == plain.acked_bytes
        if plain.done or plain.failed:
            break


def test_the_quick_way_is_for_lockstep_with_nothing_lost() -> None:
    it = Sender(100, Terms(blksize=8))
    it.start(0.0)
    assert it.run() == 0, "the first answer is told to the flight recorder"
    assert it.ack(1, 0.1) == Burst(2, 1)
    assert it.run() == 11, "blocks 3 to 13"
    it.ran(2, 0.2)
    assert (it.run(), it.acked_bytes) == (9, 24)
    it.tick(it.deadline)
    assert it.run() == 0, "sent twice: no one knows which one was answered"
    assert it.ack(4, 9.0) == Burst(5, 1)
    it.ran(it.run(), 9.1)
    assert (it.run(), it.done) == (0, False)
    assert it.ack(13, 9.2) is None and it.done
    windowed = Sender(100, Terms(blksize=8, windowsize=2))
    windowed.start(0.0)
    windowed.ack(2, 0.1)
    assert windowed.run() == 0
