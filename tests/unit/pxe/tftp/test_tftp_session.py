"""The sender by the RFCs, step by step; time is a number that the test moves."""

import itertools

import pytest

from pxe.tftp.session import GIVE_UP, GIVE_UP_FIRST, Burst, Sender
from pxe.tftp.terms import Terms
from pxe.tftp.wire import Oack, build


def sender(size, window=1, blksize=512, **terms):
    accepted = (("windowsize", str(window)),) if window > 1 else ()
    return Sender(size, Terms(blksize=blksize, windowsize=window, accepted=accepted, **terms))


def test_without_options_data_comes_first():
    s = sender(600)
    assert s.start(0) == Burst(1, 1)
    assert s.ack(1, 0.01) == Burst(2, 1)
    assert s.ack(2, 0.02) is None
    assert s.done and not s.failed


def test_with_options_the_oack_comes_first_and_ack_0_starts():
    s = sender(100, window=4)
    assert s.start(0) == build(Oack((("windowsize", "4"),)))
    assert s.ack(7, 0.01) is None
    assert s.ack(0, 0.01) == Burst(1, 1)


def test_a_size_that_is_a_multiple_ends_with_an_empty_block():
    s = sender(1024)
    s.start(0)
    assert s.ack(1, 0) == Burst(2, 1)
    assert s.ack(2, 0) == Burst(3, 1)
    assert s.ack(3, 0) is None and s.done


def test_an_empty_file_is_one_empty_block():
    s = sender(0)
    assert s.start(0) == Burst(1, 1)
    s.ack(1, 0)
    assert s.done


def test_a_repeated_ack_in_lockstep_sends_nothing():
    s = sender(5000)
    s.start(0)
    s.ack(1, 0.01)
    assert s.ack(1, 0.02) is None
    assert s.ack(0, 0.02) is None
    assert s.ack(2, 0.03) == Burst(3, 1)


def test_an_ack_from_the_future_is_ignored():
    s = sender(5000)
    s.start(0)
    assert s.ack(9, 0.01) is None
    assert s.ack(1, 0.02) == Burst(2, 1)


def test_windows():
    s = sender(512 * 10, window=4)
    s.start(0)
    assert s.ack(0, 0.001) == Burst(1, 4)
    assert s.ack(4, 0.002) == Burst(5, 4)
    assert s.ack(8, 0.003) == Burst(9, 3)  # 10 full blocks and an empty one
    assert s.ack(11, 0.004) is None and s.done
    assert s.resent == 0


def test_a_gap_is_resent_from_where_it_began_one_round_trip_later():
    s = sender(512 * 100, window=8)
    s.start(0)
    s.ack(0, 0.010)
    assert s.ack(3, 0.012) is None, "never at once: the rest of the window may be on its way"
    assert s.deadline <= 0.010 + 0.010 * 2 + 0.002
    assert s.tick(s.deadline) == Burst(4, 8)
    assert s.resent == 5


def test_a_lost_first_block_is_resent_once_per_round_trip_however_many_acks_come():
    s = sender(512 * 100, window=8)
    s.start(0)
    s.ack(0, 0.010)
    sent = 0
    for i in range(1000):
        now = 0.010 + i * 0.0001
        assert s.ack(0, now) is None
        sent += s.tick(now) is not None
    assert 1 <= sent <= 10


def test_retransmission_backs_off_and_ends():
    s = sender(5000)
    s.start(0)
    s.ack(1, 0.01)
    times, now = [], 0.01
    while not s.failed:
        now = s.deadline
        if s.tick(now) is not None:
            times.append(now)
    gaps = [b - a for a, b in itertools.pairwise(times)]
    assert all(b >= a - 1e-9 for a, b in itertools.pairwise(gaps))
    assert GIVE_UP <= now <= GIVE_UP + 6
    assert len(times) < 15


def test_who_never_answered_costs_little():
    s = sender(5000)
    s.start(0)
    sent, now = 1, 0.0
    while not s.failed:
        now = s.deadline
        sent += s.tick(now) is not None
    assert sent <= 5 and now <= GIVE_UP_FIRST + 6


def test_a_silent_client_at_the_last_block_counts_as_done():
    s = sender(100, window=2)
    s.start(0)
    s.ack(0, 0.01)
    while not s.done:
        assert not s.failed
        s.tick(s.deadline)


def test_a_client_that_leaves_in_the_middle_has_failed():
    s = sender(5000)
    s.start(0)
    s.ack(1, 0.01)
    s.gone("port closed")
    assert s.failed == "port closed"


@pytest.mark.parametrize(("rollover", "expected"), [(0, [65534, 65535, 0, 1]), (1, [65534, 65535, 1, 2])])
def test_block_numbers_roll_over(rollover, expected):
    s = sender(8 * 70000, blksize=8, rollover=rollover)
    s.start(0)
    block = 1
    while block < 65534:
        assert s.ack(s.number(block), 0) == Burst(block + 1, 1)
        block += 1
    assert [s.number(b) for b in range(65534, 65538)] == expected
    for wire in expected:
        assert s.ack(wire, 0) == Burst(block + 1, 1)
        block += 1


def test_a_client_that_rolls_over_the_other_way_is_followed():
    s = sender(8 * 66000, blksize=8)
    s.start(0)
    for block in range(1, 65536):
        s.ack(block, 0)
    assert s.number(65536) == 0
    for _ in range(2):  # the client waits for 1 and does not answer to 0
        s.tick(s.deadline)
    assert s.number(65536) == 1
    assert s.ack(1, s.deadline) == Burst(65537, 1)


def test_the_clients_timeout_bounds_the_wait():
    s = sender(5000, timeout=1)
    s.start(0)
    for _ in range(5):
        before = s.deadline
        s.tick(before)
        assert s.deadline - before <= 1
