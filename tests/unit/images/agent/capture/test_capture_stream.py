"""A stream holds everything in order, is packed where the way is slow, and is cut like a whole file."""

from __future__ import annotations

import io
import random

import pytest

from images.agent.capture.pace import FEW, Pace
from images.agent.capture.stream import Stream
from images.capture import wire
from images.chunker import BUFFER, Cutting, cut, cut_whole
from images.errors import BadInput
from images.manifest import Chunk, Entry, parse_entry

MIB = 1 << 20


@pytest.mark.parametrize("size", [0, 1, 65536, 65537, 600_000, 3 * MIB + 1])
@pytest.mark.parametrize("piece", [999, 65536, 700_000, 4 * MIB])
def test_pieces_are_cut_as_the_whole_is(size: int, piece: int) -> None:
    data, cutting = random.Random(size).randbytes(size), Cutting()
    for _ in range(2):  # the second is cut as if it were the first
        made = [bytes(one) for at in range(0, size, piece) for one in cutting.feed(data[at : at + piece])]
        made += map(bytes, cutting.end())
        assert made == [bytes(one) for one in cut_whole(data)]


@pytest.mark.parametrize("more", [0, 1, 40_000, 3 * MIB])
def test_what_is_read_is_cut_as_the_whole_is(more: int) -> None:
    data = random.Random(more).randbytes(2 * BUFFER + more)
    file = io.BytesIO(data)
    made = [bytes(one) for one in cut(lambda size: file.read(min(size, 3_000_001)))]
    assert made == [bytes(one) for one in cut_whole(data)]


class Taken:
    """The other end: one body after the other, and its buffer given back at once."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.names: list[bool] = []
        self.stream = Stream(self.take, 2)

    def take(self, number: int, body: memoryview, names: bool, done: object) -> None:
        assert number == len(self.bodies)
        self.bodies.append(bytes(body))
        self.names.append(names)
        assert callable(done)
        done()

    def records(self) -> list[tuple[int, bytes]]:
        self.stream.flush()
        bodies = [wire.unseal(body, {}) for body in self.bodies]
        return [(kind, bytes(payload)) for body in bodies for kind, payload in wire.records(body)]


def test_everything_comes_in_order_and_no_body_is_too_large() -> None:
    data, taken = random.Random(1).randbytes(11 * MIB), Taken()

    def read(room: memoryview, start: int) -> None:
        room[:] = data[start : start + len(room)]

    chunks = [Chunk(bytes(32), number + 1) for number in range(25_000)]
    taken.stream.data(read, 0, len(data))
    taken.stream.known(chunks)
    taken.stream.drop()
    taken.stream.entry(Entry(b"etc/x", "file", size=3, chunks=(Chunk(bytes(32), 3),)), b"abc")
    found = taken.records()
    assert b"".join(payload for kind, payload in found if kind == wire.DATA) == data
    known = [payload for kind, payload in found if kind == wire.KNOWN]
    assert [one for each in known for one in wire.unpack_known_chunks(memoryview(each))] == chunks
    assert found[-3:-1] == [(wire.DROP, b""), (wire.LOOK, b"abc")]
    assert parse_entry(found[-1][1], (Chunk(bytes(32), 3),)).path == b"etc/x"
    assert max(map(len, taken.bodies)) <= wire.BATCH and len(taken.bodies) >= 3
    assert not any(taken.names)
    taken.stream.entry(Entry(b"etc/y", "file"), b"")
    taken.stream.flush()
    assert taken.names[-1], "nothing but a name"


def test_a_name_with_too_much_to_tell_is_refused() -> None:
    taken = Taken()
    huge = Entry(b"x", "file", size=10**9, extents=tuple((2 * at, 1) for at in range(700_000)))
    with pytest.raises(BadInput, match="/x has too many attributes or holes: leave it out with --exclude"):
        taken.stream.entry(huge, b"")
    large = huge._replace(extents=tuple((2 * at, 1) for at in range(400_000)))
    taken.stream.entry(large, b"")  # larger than other bodies, not than the largest
    assert len(taken.records()) == 1 and wire.BATCH < len(taken.bodies[0]) <= wire.LIMIT


def test_what_is_slow_is_packed_and_what_is_fast_is_not() -> None:
    pace = Pace()
    assert pace.packs, "nobody knows yet"
    pace.went(1000, 1e-6)
    assert pace.packs, "too little to say anything"
    pace.went(4 * MIB, 0.04)  # gigabit Ethernet
    assert pace.packs
    pace.went(4 * MIB, 0.01)
    for _ in range(FEW - 1):  # one that was fast shows that the others were held up
        pace.went(4 * MIB, 1.0)
        assert not pace.packs
    pace.went(4 * MIB, 1.0)
    assert pace.packs


def test_names_do_not_wait_for_the_end() -> None:
    taken = Taken()
    for number in range(5000):
        taken.stream.entry(Entry(b"etc/%d" % number, "file", uid=number), b"")
    assert len(taken.bodies) >= 1 and all(taken.names)
    assert len(taken.records()) == 5000 and max(map(len, taken.bodies)) < 300_000
