"""How chunks are fetched: in order, checked, in few requests and little memory."""

from __future__ import annotations

import io
import random
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from imagestore import make, noise, publish

from images import packstream
from images.errors import BadInput, ChunkCorrupt, ChunkMissing, ImageError
from images.fetch import PackSource
from images.fetch_plan import plan
from images.locator import Locator
from images.store import ImageStore


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ImageStore:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packstream, "FRAME", 30_000)
        patch.setattr(packstream, "PACK", 400_000)
        made = make(tmp_path_factory.mktemp("fetch"))
        publish(made, "a", {f"f{n:02}": noise(9_000 + n, n) for n in range(90)})
        return made


def setup(store: ImageStore) -> tuple[Locator, list[bytes], dict[bytes, bytes]]:
    locator = Locator.parse(store.locator(store.resolve("a").id))
    ids = [chunk.id for chunk in store.manifest("a").chunks()]
    whole = dict(zip(ids, PackSource(locator, store.read_range).stream(ids), strict=True))
    return locator, ids, whole


def test_any_order_with_repeats(store: ImageStore) -> None:
    locator, ids, whole = setup(store)
    wanted = random.Random(1).choices(ids, k=500)
    assert list(PackSource(locator, store.read_range).stream(wanted)) == [whole[id] for id in wanted]


def test_in_order_takes_few_requests_and_no_byte_twice(store: ImageStore) -> None:
    locator, ids, _ = setup(store)
    asked: list[int] = []

    def get_range(pack: str, start: int, length: int) -> bytes:
        asked.append(length)
        return store.read_range(pack, start, length)

    source = PackSource(locator, get_range)
    list(source.stream(ids))
    assert len(asked) == len(locator.packs) == 2
    assert (
        source.fetched == sum(asked) == sum(locator.frame(number).stored for number in range(locator.frames))
    )


def test_a_file_like_answer(store: ImageStore) -> None:
    locator, ids, whole = setup(store)
    source = PackSource(
        locator, lambda pack, start, length: io.BytesIO(store.read_range(pack, start, length))
    )
    assert list(source.stream(ids[:5])) == [whole[id] for id in ids[:5]]
    assert source.get(ids[7]) == whole[ids[7]]


@settings(deadline=None, max_examples=40)
@given(st.data())
def test_the_plan_keeps_its_bounds(store: ImageStore, data: st.DataObject) -> None:
    """Following the plan blindly never needs a frame that is not there, nor more memory than allowed."""
    locator, ids, _ = setup_cached(store)
    wanted = data.draw(st.lists(st.sampled_from(ids), min_size=1, max_size=300))
    window, cache = data.draw(st.integers(1, 200_000)), data.draw(st.integers(1, 200_000))
    kept: dict[int, int] = {}
    seen: list[bytes] = []
    for fetched, steps in plan(wanted, locator, window, cache, gap=5_000):
        frames = {step.frame for step in steps if step.load}
        assert sum(locator.frame(number).stored for number in frames) <= max(window, 40_000)
        for step in steps:
            for old in step.evict:
                del kept[old]
            if step.load:
                frame = locator.frame(step.frame)
                assert any(
                    r.pack == frame.pack
                    and r.start <= frame.offset
                    and frame.offset + frame.stored <= r.start + r.length
                    for r in fetched
                )
                kept[step.frame] = frame.raw
            assert step.frame in kept
            assert len(kept) == 1 or sum(kept.values()) <= cache
            seen.append(step.id)
    assert seen == wanted


_cached: list[tuple[Locator, list[bytes], dict[bytes, bytes]]] = []


def setup_cached(store: ImageStore) -> tuple[Locator, list[bytes], dict[bytes, bytes]]:
    if not _cached:
        _cached.append(setup(store))
    return _cached[0]


def test_damage_in_transit_is_asked_for_again(store: ImageStore) -> None:
    locator, ids, whole = setup(store)
    count = 0

    def get_range(pack: str, start: int, length: int) -> bytes:
        nonlocal count
        count += 1
        data = store.read_range(pack, start, length)
        return data if count > 1 else bytes([data[0] ^ 1]) + data[1:]

    assert list(PackSource(locator, get_range).stream(ids[:3])) == [whole[id] for id in ids[:3]]
    assert count == 2


def test_lasting_damage_names_the_chunk_and_gives_nothing(store: ImageStore) -> None:
    locator, ids, _ = setup(store)
    place = locator.frame(locator.find(ids[0]).frame)

    def get_range(pack: str, start: int, length: int) -> bytes:
        data = bytearray(store.read_range(pack, start, length))
        if pack == place.pack and start <= place.offset:
            data[place.offset - start + 100] ^= 1
        return bytes(data)

    with pytest.raises(ChunkCorrupt, match=ids[0].hex()):
        next(PackSource(locator, get_range).stream(ids))


def test_errors_of_the_transport_reach_the_reader(store: ImageStore) -> None:
    locator, ids, _ = setup(store)

    def get_range(pack: str, start: int, length: int) -> bytes:
        raise ConnectionResetError("gone")

    with pytest.raises(ConnectionResetError):
        list(PackSource(locator, get_range).stream(ids))
    with pytest.raises(ImageError, match="asked for"):
        list(PackSource(locator, lambda *_: b"short").stream(ids))
    with pytest.raises(ChunkMissing):
        list(PackSource(locator, store.read_range).stream([bytes(32)]))


def test_one_window_is_fetched_ahead_and_no_more(store: ImageStore) -> None:
    locator, ids, _ = setup(store)
    calls = 0

    def get_range(pack: str, start: int, length: int) -> bytes:
        nonlocal calls
        calls += 1
        return store.read_range(pack, start, length)

    stream = PackSource(locator, get_range, gap=0, window=30_000, cache=60_000).stream(ids)
    next(stream)
    time.sleep(0.3)
    assert calls <= 3, "used, waiting, under way"
    before = threading.active_count()
    stream.close()  # type: ignore[attr-defined]
    end = time.monotonic() + 20
    while threading.active_count() >= before:
        assert time.monotonic() < end, "its thread goes with it"
        time.sleep(0.02)


def test_locators_that_are_none(store: ImageStore) -> None:
    good = store.locator(store.resolve("a").id)
    for size in (0, 10, 60, 61, len(good) - 1):
        with pytest.raises(BadInput):
            Locator.parse(good[:size])


@given(st.binary(max_size=300))
def test_any_bytes_are_a_locator_or_bad_input(data: bytes) -> None:
    for start in (b"", b"BSLOCAT1"):
        try:
            Locator.parse(start + data)
        except BadInput:
            pass


def test_paths_of_packs_never_leave(store: ImageStore, tmp_path: Path) -> None:
    with pytest.raises(ChunkMissing):
        store.read_range("../keys/signing.key", 0, 32)
