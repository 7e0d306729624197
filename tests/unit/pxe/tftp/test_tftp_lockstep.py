"""The quick way of a transfer beside the long one, in lockstep and in windows."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pxe.tftp.session import Burst, Sender
from pxe.tftp.terms import Terms

KINDS = ["run", "next", "part", "again", "wild", "tick"]


@given(
    script=st.lists(st.tuples(st.sampled_from(KINDS), st.integers(0, 65535))),
    window=st.sampled_from([1, 2, 4]),
    rollover=st.sampled_from([0, 1]),
    blocks=st.sampled_from([1, 2, 20, 40]),
    start=st.sampled_from([0, 65530]),
)
def test_the_quick_way_comes_to_the_same_as_the_long_one(
    script: list[tuple[str, int]], window: int, rollover: int, blocks: int, start: int
) -> None:
    """Two senders get the same answers; one lets ACKs be answered without it, wherever it says so."""
    size, terms = (start + blocks) * 8 + 3, Terms(blksize=8, rollover=rollover, windowsize=window)
    quick, plain = Sender(size, terms), Sender(size, terms)
    now = 100.0
    for it in (quick, plain):
        it.start(now)
    script = [("next", 0), ("run", start // window), *script]
    for kind, wild in script:
        now += 0.003
        if kind == "tick":
            now = max(now, plain.deadline, quick.deadline)
            assert quick.tick(now) == plain.tick(now)
            continue
        if kind == "run":
            run = min(quick.run() // window, wild)
            for _ in range(run):
                now += 0.001
                sent = plain._sent
                assert plain.ack(plain.number(sent), now) == Burst(sent + 1, window)
            if run:
                quick.ran(run * window, now)
            continue
        last = plain.acked_bytes // 8
        number = {
            "next": plain.number(plain._sent), "part": plain.number(last + 1),
            "again": plain.number(last), "wild": wild,
        }[kind]  # fmt: skip
        assert quick.ack(number, now) == plain.ack(number, now)
        assert (quick.done, quick.failed, quick.resent) == (plain.done, plain.failed, plain.resent)
        assert quick.acked_bytes == plain.acked_bytes
        if plain.done or plain.failed:
            break


def test_the_quick_way_in_lockstep_is_for_nothing_lost() -> None:
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


def test_the_quick_way_in_windows_is_for_whole_ones_with_nothing_lost() -> None:
    it = Sender(100, Terms(blksize=8, windowsize=2))
    it.start(0.0)
    assert it.run() == 0, "the first answer is told to the flight recorder"
    assert it.ack(2, 0.1) == Burst(3, 2)
    assert it.run() == 8, "blocks 5 to 12; the last one, 13, is not in it"
    it.ran(4, 0.2)
    assert (it.run(), it.acked_bytes) == (4, 48)
    assert it.ack(7, 0.3) is None
    assert it.run() == 0, "a window that came in part"
    assert it.tick(it.deadline) == Burst(8, 2)
    assert it.run() == 0, "sent twice: no one knows which one was answered"
    assert it.ack(9, 9.0) == Burst(10, 2)
    assert it.run() == 0, "only the last window is left"
    assert it.ack(11, 9.1) == Burst(12, 2) and it.run() == 0
    assert it.ack(13, 9.2) is None and it.done
