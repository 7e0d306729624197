"""What a node wrote: read back, grown, limited, taken over; after a power cut what was flushed."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from images.errors import ImageConflict
from images.nbd.layer import LayerFull, LayerTaken, discard, open_layer, size_of

SIZE = 3 << 20


def content(layer, base: bytes) -> bytes:  # type: ignore[no-untyped-def]
    out = bytearray()
    for start, end, here in layer.stretches(0, layer.size):
        out += os.pread(layer.fd, end - start, start) if here else base[start:end]
    return bytes(out)


def test_any_writes(tmp_path: Path) -> None:
    chance = random.Random(4)
    base = chance.randbytes(SIZE)
    wanted = bytearray(base)
    layer = open_layer(tmp_path / "l", "v", SIZE, 1 << 30)
    for _ in range(300):
        start = chance.randrange(SIZE // 512 - 64) * 512
        length = chance.randrange(1, 64) * 512
        if chance.random() < 0.3:
            layer.zero(start, length)
            data = bytes(length)
        else:
            data = chance.choice([bytes(length), chance.randbytes(length)])
            layer.write(start, data)
        wanted[start : start + length] = data
        if chance.random() < 0.1:
            layer.flush()
        if chance.random() < 0.05:
            layer.close()
            layer = open_layer(tmp_path / "l", "v", SIZE, 1 << 30)
    assert content(layer, base) == wanted


def test_after_a_power_cut_what_was_flushed_counts(tmp_path: Path) -> None:
    """The worst that it can leave: bits on disk whose data are not."""
    base = b"\1" * SIZE
    layer = open_layer(tmp_path / "l", "v", SIZE, 1 << 30)
    layer.write(0, b"\2" * 4096)
    layer.flush()
    layer.write(1 << 20, b"\3" * 4096)
    layer.close()
    with (tmp_path / "l/data").open("r+b") as data:  # this write never reached the disk
        data.seek(1 << 20)
        data.write(bytes(4096))
    (tmp_path / "l/boot").write_bytes(b"the boot before\n")
    layer = open_layer(tmp_path / "l", "v", SIZE, 1 << 30)
    assert content(layer, base) == b"\2" * 4096 + base[4096:]
    layer.write(1 << 20, b"\4" * 512)
    assert content(layer, base)[1 << 20 :][:1024] == b"\4" * 512 + b"\1" * 512


def test_the_newer_owner_gets_it_when_the_older_lets_go(tmp_path: Path) -> None:
    old = open_layer(tmp_path / "l", "v", SIZE, 1 << 30)
    with pytest.raises(LayerTaken):
        open_layer(tmp_path / "l", "v", SIZE, 1 << 30)
    assert old.superseded
    old.close()
    new = open_layer(tmp_path / "l", "v", SIZE, 1 << 30)
    assert not new.superseded


def test_its_limit_and_room_that_comes_back(tmp_path: Path) -> None:
    layer = open_layer(tmp_path / "l", "v", SIZE, 1 << 20)
    layer.write(0, b"a" * (1 << 20))
    with pytest.raises(LayerFull, match="1 MiB"):
        layer.write(2 << 20, b"b" * 4096)
    layer.write(4096, b"c" * 4096)
    layer.write(0, bytes(512 << 10))  # zeros take no room
    layer.write(2 << 20, b"b" * 4096)
    assert size_of(tmp_path / "l") <= 1 << 20


def test_it_grows_and_never_shrinks(tmp_path: Path) -> None:
    layer = open_layer(tmp_path / "l", "", SIZE, 1 << 30)
    layer.write(SIZE - 512, b"e" * 512)
    layer.flush()
    layer.close()
    layer = open_layer(tmp_path / "l", "", 40 << 20, 1 << 30)
    assert layer.size == 40 << 20 and not layer.superseded
    layer.write((40 << 20) - 512, b"f" * 512)
    layer.flush()
    layer.close()
    layer = open_layer(tmp_path / "l", "", SIZE, 1 << 30)
    base = bytes(40 << 20)
    assert content(layer, base) == (
        bytes(SIZE - 512) + b"e" * 512 + bytes((40 << 20) - SIZE - 512) + b"f" * 512
    )


def test_it_belongs_to_one_version(tmp_path: Path) -> None:
    open_layer(tmp_path / "l", "v", SIZE, 1 << 30).close()
    with pytest.raises(ImageConflict, match="another version"):
        open_layer(tmp_path / "l", "w", SIZE, 1 << 30)
    discard(tmp_path / "l")
    discard(tmp_path / "l")
    assert size_of(tmp_path / "l") == 0 and not list(tmp_path.iterdir())
    open_layer(tmp_path / "l", "w", SIZE, 1 << 30).close()
