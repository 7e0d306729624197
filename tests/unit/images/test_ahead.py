"""What is made ahead arrives in order, with its errors, and ends with its reader."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from images.ahead import BATCH, BATCHES, ahead


def pieces(count: int, size: int, made: list[int]) -> Iterator[bytes]:
    for number in range(count):
        made.append(number)
        yield bytes([number % 256]) * size


def test_everything_comes_in_order() -> None:
    assert b"".join(ahead(pieces(1000, 5000, []))) == b"".join(pieces(1000, 5000, []))
    assert list(ahead(iter(()))) == []


def test_an_error_comes_after_what_was_whole_before_it() -> None:
    def broken() -> Iterator[bytes]:
        yield b"x" * BATCH
        raise OSError("no server")

    found = ahead(broken())
    assert next(found) == b"x" * BATCH
    with pytest.raises(OSError, match="no server"):
        next(found)


def test_a_reader_that_stops_ends_the_maker_and_holds_little() -> None:
    made: list[int] = []
    found = ahead(pieces(10_000, BATCH, made))
    next(found)
    found.close()
    assert len(made) <= BATCHES + 3
    assert not [one for one in threading.enumerate() if one.name == "ahead"]


def test_a_generator_is_closed_before_its_reader_ends() -> None:
    """Also while an error is looked at, whose traceback remembers it."""
    closed: list[str] = []

    def open_ended() -> Iterator[bytes]:
        try:
            while True:
                yield b"x" * BATCH
        finally:
            closed.append(threading.current_thread().name)

    held = open_ended()
    found = ahead(held)
    next(found)
    found.close()
    assert closed == ["ahead"]
