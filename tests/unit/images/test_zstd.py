"""The node's decompressor against the server's compressor, and against damage."""

from __future__ import annotations

import os

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from images.errors import BadInput
from images.zstd import decompress, decompress_stream


@given(st.binary(max_size=5000), st.integers(1, 60))
def test_frame_and_stream(data: bytes, step: int) -> None:
    packed = zstandard.ZstdCompressor().compress(data)
    assert decompress(packed, len(data)) == data
    pieces = [packed[at : at + step] for at in range(0, len(packed), step)]
    assert b"".join(decompress_stream(pieces)) == data


def test_big_stream_in_small_pieces() -> None:
    data = os.urandom(100_000) + bytes(3_000_000)
    made = zstandard.ZstdCompressor(level=9).compressobj()
    packed = made.compress(data) + made.flush()
    assert b"".join(decompress_stream([packed])) == data


def test_wrong_size_is_refused() -> None:
    packed = zstandard.ZstdCompressor().compress(b"hello")
    for size in (0, 4, 6):
        with pytest.raises(BadInput):
            decompress(packed, size)


@pytest.mark.parametrize("cut", range(14))
def test_cut_off_stream(cut: int) -> None:
    packed = zstandard.ZstdCompressor().compress(b"hello")
    assert len(packed) == 14
    with pytest.raises(BadInput):
        list(decompress_stream([packed[:cut]]))


@given(st.binary(max_size=300))
def test_any_bytes(data: bytes) -> None:
    for read in (lambda: decompress(data, 10), lambda: b"".join(decompress_stream([data]))):
        try:
            read()
        except BadInput:
            pass
