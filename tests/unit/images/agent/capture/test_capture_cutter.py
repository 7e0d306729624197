"""The plain cutter cuts where the server's library cuts; stretches are found where the base has them."""

from __future__ import annotations

import hashlib
import os
import random
import sys
from pathlib import Path

import pytest
from pyfastcdc import FastCDC

from images import chunker
from images.agent.capture import cutter
from images.agent.capture.matching import Changed, Data, Stretch, stretches
from images.manifest import Chunk, Entry


def wanted(data: bytes) -> list[int]:
    return [chunk.offset + chunk.length for chunk in FastCDC(avg_size=chunker.AVERAGE).cut_buf(data)]


@pytest.mark.parametrize("size", [0, 1, 16384, 16385, 65537, 100_001, 262_143, 262_144, 262_145, 1_500_001])
def test_it_cuts_where_the_server_cuts(size: int) -> None:
    noise = random.Random(size).randbytes(size)
    program = Path(sys.executable).resolve().read_bytes()[:size]
    for data in (noise, program, bytes(size), noise[:999] * (size // 999)):
        assert cutter.cuts(data) == wanted(data)
    assert (cutter.WHOLE, cutter.AVERAGE) == (chunker.WHOLE, chunker.AVERAGE)


def chunks(data: bytes) -> list[Chunk]:
    made, start = [], 0
    for end in wanted(data):
        made.append(Chunk(hashlib.sha256(data[start:end]).digest(), end - start))
        start = end
    return made


def look(tmp_path: Path, data: bytes, base: list[Chunk]) -> list[Stretch]:
    (tmp_path / "file").write_bytes(data)
    fd = os.open(tmp_path / "file", os.O_RDONLY)
    try:
        return stretches(Data(fd, Entry(b"file", "file", size=len(data))), base)
    finally:
        os.close(fd)


def test_stretches(tmp_path: Path) -> None:
    old = random.Random(3).randbytes(2_000_000)
    base = chunks(old)
    same = look(tmp_path, old, base)
    assert [one.chunk for one in same] == base
    edited = bytearray(old)
    edited[700_000] ^= 1
    edited[1_500_000] ^= 1
    inserted, shorter = old[:700_000] + b"xyz" + old[700_000:], old[:700_000] + old[700_100:]
    for new in (bytes(edited), inserted, shorter, old + b"t"):
        found = look(tmp_path, new, base)
        assert [one.start for one in found[1:]] == [one.end for one in found[:-1]]
        assert (found[0].start, found[-1].end) == (0, len(new))
        unknown = sum(one.end - one.start for one in found if one.chunk is None)
        assert 0 < unknown <= 2 * cutter.MAX
        for one in found:
            if one.chunk is not None:
                assert hashlib.sha256(new[one.start : one.end]).digest() == one.chunk.id


def test_a_file_shorter_than_its_entry_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"short")
    fd = os.open(tmp_path / "file", os.O_RDONLY)
    try:
        with pytest.raises(Changed):
            Data(fd, Entry(b"file", "file", size=50)).read(0, 50)
    finally:
        os.close(fd)


def test_data_skips_holes(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"abcdefgh")
    fd = os.open(tmp_path / "file", os.O_RDONLY)
    try:
        data = Data(fd, Entry(b"file", "file", size=8, extents=((1, 2), (5, 3))))
        assert (data.size, data.read(0, 9), data.read(1, 2), data.read(4, 1)) == (5, b"bcfgh", b"cf", b"h")
    finally:
        os.close(fd)
