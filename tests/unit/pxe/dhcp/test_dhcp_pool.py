"""The free list: finds what is free, in good order, without walking over 100,000 taken addresses."""

from __future__ import annotations

from math import inf

from pxe.dhcp.pool import RESCAN_SECONDS, FreeAddresses


class Books:
    """When each address is free; counts how often it is asked."""

    def __init__(self) -> None:
        self.until: dict[int, float] = {}
        self.asked = 0

    def __call__(self, address: int) -> float:
        self.asked += 1
        return self.until.get(address, 0.0)


def test_new_ones_first_then_the_longest_ended() -> None:
    books, pool = Books(), FreeAddresses(10, 12)
    for address, ends in ((10, 30.0), (11, 20.0)):
        assert pool.pick(1.0, books) == address
        books.until[address] = ends
        pool.returned(address, ends)
    assert pool.pick(25.0, books) == 12
    books.until[12] = inf
    assert pool.pick(35.0, books) == 11
    books.until[11] = inf
    assert pool.pick(35.0, books) == 10


def test_nothing_free() -> None:
    books, pool = Books(), FreeAddresses(10, 11)
    books.until = {10: inf, 11: 50.0}
    assert pool.pick(1.0, books) is None
    asked = books.asked
    assert pool.pick(2.0, books) is None
    assert books.asked == asked  # no second search so soon
    assert pool.pick(50.0, books) == 11


def test_a_reservation_that_was_removed_is_found_again() -> None:
    books, pool = Books(), FreeAddresses(10, 10)
    books.until = {10: inf}
    assert pool.pick(1.0, books) is None
    books.until = {}
    assert pool.pick(1.0 + RESCAN_SECONDS, books) == 10


def test_a_clock_set_back_does_not_close_the_pool() -> None:
    books, pool = Books(), FreeAddresses(10, 10)
    books.until = {10: inf}
    assert pool.pick(1e9, books) is None
    books.until = {}
    assert pool.pick(1.0, books) == 10


def test_renewals_take_no_memory() -> None:
    books, pool = Books(), FreeAddresses(10, 11)
    assert pool.pick(0.0, books) == 10
    for now in range(10_000):
        books.until[10] = now + 60.0
        pool.returned(10, now + 60.0)
    assert len(pool._ended) == 1
    books.until[11] = inf
    assert pool.pick(10_000.0, books) is None  # looked at in time, queued again for its real end
    assert pool.pick(10_060.0, books) == 10


def test_effort_is_constant_on_average() -> None:
    books, pool = Books(), FreeAddresses(0, 99_999)
    books.until = dict.fromkeys(range(50000), inf)
    for _ in range(50_000):
        address = pool.pick(0.0, books)
        assert address is not None and address >= 50_000
        books.until[address] = inf
    assert books.asked == 100_000
