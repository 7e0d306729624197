"""Any disk in is the same disk out, wherever its data lies, onto a target full of something else; and any
bitmap is the runs that a plain loop finds in it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

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
from images.sealed import SealedManifest
from images.store import ImageStore

pieces = st.lists(
    st.tuples(st.integers(0, 300_000), st.binary(min_size=1, max_size=9), st.integers(1, 4000)), max_size=8
)


class Case(NamedTuple):
    """A disk's bytes, and the image that they became; `target`: to be written to."""

    data: bytes
    store: ImageStore
    manifest: SealedManifest
    target: Path


@contextmanager
def imported(content: list[tuple[int, bytes, int]], size: int, region: int, head: int) -> Iterator[Case]:
    """With regions of `region` blocks, and a head of `head` thousands of bytes."""
    data = bytearray(size)
    for offset, text, times in content:
        data[offset : offset + len(text) * times] = text * times
        del data[size:]
    data[-1:] = b"x"  # an empty disk is refused
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as name:
        patch.setattr(regions, "REGION", region * 4096)
        patch.setattr(writing, "HEAD", head * 1000)
        folder = Path(name)
        (folder / "disk").write_bytes(data)
        store = ImageStore.open(folder / "store")
        # As a device: what happens to begin like a virtual disk's file is still just these bytes.
        with closing(FileDevice(folder / "disk")) as device:
            version = import_device(store, "d", device, "", None, silent)
        yield Case(bytes(data), store, store.manifest(version.id), folder / "target")


@settings(max_examples=60, deadline=None)
@given(pieces, st.integers(1, 300_000), st.integers(1, 64), st.integers(0, 30), st.booleans())
def test_any_disk(
    content: list[tuple[int, bytes, int]], size: int, region: int, head: int, blank: bool
) -> None:
    with imported(content, size, region, head) as (data, store, manifest, target):
        target.write_bytes(bytes(len(data)) if blank else b"\xa5" * len(data))
        fd = os.open(target, os.O_RDWR)
        chunks = store.source("d").stream(chunk.id for chunk in manifest.chunks())
        write_disk(manifest.header, manifest.entries(), chunks, fd, blank)
        assert verify_disk(manifest.header, manifest.entries(), fd, 1 << 40) == manifest.header.bytes
        os.close(fd)
        assert target.read_bytes() == data


flips = st.lists(st.tuples(st.integers(0, 299_999), st.integers(1, 70_000), st.integers(0, 255)), max_size=6)


@settings(max_examples=60, deadline=None)
@given(pieces, st.integers(1, 300_000), st.integers(1, 64), st.integers(0, 30), flips)
def test_a_disk_that_holds_some_of_it(
    content: list[tuple[int, bytes, int]], size: int, region: int, head: int,
    changes: list[tuple[int, int, int]],
) -> None:  # fmt: skip
    with imported(content, size, region, head) as (data, store, manifest, target):
        there = bytearray(data)
        for start, length, byte in changes:
            there[start : start + length] = bytes([byte]) * len(there[start : start + length])
        target.write_bytes(there)
        fd = os.open(target, os.O_RDWR)
        found = compare_disk(manifest.header, manifest.entries(), fd)
        assert found.all == (there == data)
        wanted = [chunk.id for chunk in missing(manifest.header, manifest.entries(), found)]
        chunks = store.source("d").stream(wanted)
        written = write_disk(manifest.header, manifest.entries(), chunks, fd, found=found)
        assert next(chunks, None) is None
        os.close(fd)
        assert target.read_bytes() == data
        assert written + found.bytes >= manifest.header.bytes


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
