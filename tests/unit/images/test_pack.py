"""Pack files: what is written is read, and no byte of one can change unseen."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from imagestore import noise

from images.errors import BadInput
from images.locator import RAW
from images.pack import SUFFIX, PackWriter, read_frames, read_trailer


def write(folder: Path, frames: list[list[bytes]]) -> Path:
    writer = PackWriter(folder, folder)
    for chunks in frames:
        place, rows = 0, []
        for chunk in chunks:
            rows.append((hashlib.sha256(chunk).digest(), place, len(chunk)))
            place += len(chunk)
        writer.add(RAW, b"".join(chunks), place, rows)
    return folder / (writer.finish().id.hex() + SUFFIX)


def test_there_and_back(tmp_path: Path) -> None:
    frames = [[b"one", b"two"], [noise(1000, 1)], [b"x"]]
    path = write(tmp_path, frames)
    trailer = read_trailer(path)
    assert trailer.id.hex() == path.stem
    assert [data for _, data in read_frames(path, trailer)] == [b"".join(frame) for frame in frames]
    assert [(row.frame, row.inner, row.length) for row in trailer.chunks] == [
        (0, 0, 3),
        (0, 3, 3),
        (1, 0, 1000),
        (2, 0, 1),
    ]


def test_ids_are_never_used_twice(tmp_path: Path) -> None:
    assert write(tmp_path, [[b"same"]]) != write(tmp_path, [[b"same"]])


def test_every_byte_is_covered(tmp_path: Path) -> None:
    path = write(tmp_path, [[b"one", b"two"], [noise(50, 1)]])
    good = path.read_bytes()
    for place in range(len(good)):
        bad = bytearray(good)
        bad[place] ^= 1
        path.write_bytes(bad)
        try:
            trailer = read_trailer(path)
        except BadInput:
            continue
        frames = list(read_frames(path, trailer))
        assert any(hashlib.sha256(data).digest() != trailer.frames[n].digest for n, data in frames), place


def test_cut_off(tmp_path: Path) -> None:
    path = write(tmp_path, [[b"one", b"two"]])
    good = path.read_bytes()
    for size in range(len(good)):
        path.write_bytes(good[:size])
        with pytest.raises(BadInput):
            read_trailer(path)
    path.write_bytes(good + b"x")
    with pytest.raises(BadInput):
        read_trailer(path)


def test_abort_leaves_nothing(tmp_path: Path) -> None:
    writer = PackWriter(tmp_path, tmp_path)
    writer.add(RAW, b"x", 1, [])
    writer.abort()
    assert not list(tmp_path.iterdir())
