"""Any disk in is the same disk out, wherever its data lies, onto a target full of something else; and any
bitmap is the runs that a plain loop finds in it."""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from images.blocks import regions, writing
from images.blocks.bits import complement, merged, runs
from images.blocks.comparing import compare_disk
from images.blocks.device import FileDevice
from images.blocks.writing import missing, verify_disk, write_disk
from images.importing.from_disk import import_device
from images.progress import silent
from images.store import ImageStore

pieces = st.lists(
    st.tuples(st.integers(0, 300_000), st.binary(min_size=1, max_size=9), st.integers(1, 4000)), max_size=8
)


@settings(max_examples=60, deadline=None)
@given(pieces, st.integers(1, 300_000), st.integers(1, 64), st.integers(0, 30), st.booleans())
def test_any_disk(
    content: list[tuple[int, bytes, int]], size: int, region: int, head: int, blank: bool
) -> None:
    data = bytearray(size)
    for offset, text, times in content:
        data[offset : offset + len(text) * times] = text * times
        del data[size:]
    data[-1:] = b"x"  # an empty disk is refused
    folder = Path(tempfile.mkdtemp())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(regions, "REGION", region * 4096)
        patch.setattr(writing, "HEAD", head * 1000)
        try:
            (folder / "disk").write_bytes(data)
            store = ImageStore.open(folder / "store")
            # As a device: what happens to begin like a virtual disk's file is still just these bytes.
            with closing(FileDevice(folder / "disk")) as device:
                manifest = store.manifest(import_device(store, "d", device, "", None, silent).id)
            (folder / "target").write_bytes(bytes(len(data)) if blank else b"\xa5" * len(data))
            fd = os.open(folder / "target", os.O_RDWR)
            chunks = store.source("d").stream(chunk.id for chunk in manifest.chunks())
            write_disk(manifest.header, manifest.entries(), chunks, fd, blank)
            assert verify_disk(manifest.header, manifest.entries(), fd, 1 << 40) == manifest.header.bytes
            os.close(fd)
            assert (folder / "target").read_bytes() == bytes(data)
        finally:
            shutil.rmtree(folder)


flips = st.lists(st.tuples(st.integers(0, 299_999), st.integers(1, 70_000), st.integers(0, 255)), max_size=6)


@settings(max_examples=60, deadline=None)
@given(pieces, st.integers(1, 300_000), st.integers(1, 64), st.integers(0, 30), flips)
def test_a_disk_that_holds_some_of_it(
    content: list[tuple[int, bytes, int]], size: int, region: int, head: int,
    changes: list[tuple[int, int, int]],
) -> None:  # fmt: skip
    data = bytearray(size)
    for offset, text, times in content:
        data[offset : offset + len(text) * times] = text * times
        del data[size:]
    data[-1:] = b"x"
    there = bytearray(data)
    for start, length, byte in changes:
        there[start : start + length] = bytes([byte]) * len(there[start : start + length])
    folder = Path(tempfile.mkdtemp())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(regions, "REGION", region * 4096)
        patch.setattr(writing, "HEAD", head * 1000)
        try:
            (folder / "disk").write_bytes(data)
            store = ImageStore.open(folder / "store")
            with closing(FileDevice(folder / "disk")) as device:
                manifest = store.manifest(import_device(store, "d", device, "", None, silent).id)
            (folder / "target").write_bytes(there)
            fd = os.open(folder / "target", os.O_RDWR)
            found = compare_disk(manifest.header, manifest.entries(), fd)
            assert found.all == (there == data)
            wanted = [chunk.id for chunk in missing(manifest.header, manifest.entries(), found)]
            chunks = store.source("d").stream(wanted)
            written = write_disk(manifest.header, manifest.entries(), chunks, fd, found=found)
            assert next(chunks, None) is None
            os.close(fd)
            assert (folder / "target").read_bytes() == bytes(data)
            assert written + found.bytes >= manifest.header.bytes
        finally:
            shutil.rmtree(folder)


@settings(deadline=None)
@given(st.binary(max_size=40), st.integers(0, 330))
def test_runs(bitmap: bytes, count: int) -> None:
    bitmap = bitmap * 300  # longer than what is taken at once
    count = min(count * 300, len(bitmap) * 8)
    bits = [bool(bitmap[n // 8] >> n % 8 & 1) for n in range(count)]
    told = [False] * count
    last = -1
    for first, length in runs(bitmap, count):
        assert first > last and length > 0, "in order, and never two that touch"
        told[first : first + length] = [True] * length
        last = first + length
    assert told == bits


ranges = st.lists(st.tuples(st.integers(0, 99), st.integers(0, 30)), max_size=12)


@settings(deadline=None)
@given(ranges, st.integers(0, 100))
def test_merged_and_what_is_left(given_: list[tuple[int, int]], size: int) -> None:
    wanted = {n for offset, length in given_ for n in range(offset, offset + length) if n < size}
    joined = merged(given_, size)
    assert {n for offset, length in joined for n in range(offset, offset + length)} == wanted
    assert all(a + length < b for (a, length), (b, _) in pairwise(joined))
    rest = complement(joined, size)
    assert {n for offset, length in rest for n in range(offset, offset + length)} == set(range(size)) - wanted
