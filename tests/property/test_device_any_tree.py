"""Any tree in is the same tree out through the block device: mounted by the kernel, read block by block from
the store's chunks. And any disk is that disk.
"""

from __future__ import annotations

import itertools
import os
import random
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nastytree import build as build_nasty
from nastytree import snapshot
from pyfastcdc import FastCDC

from images import chunker, packstream
from images.importing import from_directory
from images.importing.from_directory import import_directory
from images.importing.from_disk import import_device
from images.nbd import building
from images.nbd.exports import Exports
from images.store import ImageStore
from tests.property.test_images_any_tree import build, names, trees

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="owners, devices and mounts need root")


@contextmanager
def small(frame: int) -> Iterator[Path]:
    """A folder, and chunks and frames so small that they end everywhere."""
    folder = Path(tempfile.mkdtemp())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packstream, "FRAME", frame * 1000)
        patch.setattr(packstream, "PACK", 100_000)
        patch.setattr(chunker, "WHOLE", 4096)
        patch.setattr(chunker, "_cdc", FastCDC(avg_size=4096))
        patch.setattr(chunker, "BUFFER", 50_000)
        patch.setattr(from_directory, "LARGE", 30_000)
        patch.setattr(building, "_build", building.build)  # here, not in a process of its own
        try:
            yield folder
        finally:
            shutil.rmtree(folder)


def read(store: ImageStore, folder: Path, ref: str, chance: random.Random) -> bytes:
    """The whole device, in pieces of any size and in any order."""
    exports = Exports(store, folder / "nbd", 1 << 30)
    exports.prepare()
    device = exports.device(ref)
    out, places = bytearray(device.size), [0]
    while places[-1] < device.size:
        places.append(min(places[-1] + chance.choice([1, 511, 4096, 70_000]), device.size))
    pairs = list(itertools.pairwise(places))
    chance.shuffle(pairs)
    for start, end in pairs:
        while (block := (found := device.locate(start, end - start))[0]) is not None:
            device.bring(block, end)
        out[start:end] = b"".join(os.pread(part.segment.fd, part.length, part.start) for part in found[1])
    return bytes(out)


@contextmanager
def mounted(image: Path, there: Path) -> Iterator[Path]:
    there.mkdir()
    subprocess.run(["mount", "-t", "erofs", "-o", "loop,ro", image, there], check=True)
    try:
        yield there
    finally:
        subprocess.run(["umount", there], check=True)


def same(folder: Path, chance: random.Random) -> None:
    store = ImageStore.open(folder / "store")
    import_directory(store, "a", folder / "in", excludes=())
    image = folder / "image"
    image.write_bytes(read(store, folder, "a@1", chance))
    checked = subprocess.run(["fsck.erofs", image], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr
    with mounted(image, folder / "there") as there:
        assert snapshot(there) == snapshot(folder / "in")


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.dictionaries(names, trees, max_size=6), st.integers(1, 40), st.randoms(use_true_random=False))
def test_any_tree(content: dict[bytes, dict[str, Any]], frame: int, chance: random.Random) -> None:
    with small(frame) as folder:
        (folder / "in/etc").mkdir(parents=True)
        made: list[bytes] = []
        for name, node in content.items():
            build(os.fsencode(folder / "in") + b"/" + name, node, made)
        same(folder, chance)


def test_the_nasty_tree_with_many_names() -> None:
    with small(20) as folder:
        (folder / "in").mkdir()
        build_nasty(folder / "in")
        for number in range(400):
            (folder / "in/etc" / f"name {number} {'x' * (number % 200)}").write_bytes(b"%d" % number)
        for number in range(40):
            os.symlink("t" * (90 * number + 1), folder / "in/deep" / f"link{number}")
        os.setxattr(folder / "in/etc", "user.large", bytes(range(256)) * 15)
        same(folder, random.Random(1))


class Disk:
    """Any stretches of data on a disk of any number of sectors."""

    sector = physical = 512

    def __init__(self, content: bytes) -> None:
        self.content, self.size = content, len(content)

    def read(self, offset: int, length: int) -> bytes:
        return self.content[offset : offset + length]

    def data(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        for at in range(start, end, 512):
            if any(self.content[at : at + 512]):
                yield at, 512


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.lists(st.tuples(st.integers(1, 80), st.booleans()), min_size=1, max_size=12), st.integers(1, 40),
    st.randoms(use_true_random=False),
)  # fmt: skip
def test_any_disk(stretches: list[tuple[int, bool]], frame: int, chance: random.Random) -> None:
    content = b"".join(
        chance.randbytes(512 * count) if data else bytes(512 * count) for count, data in stretches
    ) + b"end".ljust(512)
    with small(frame) as folder:
        store = ImageStore.open(folder / "store")
        import_device(store, "a", Disk(content), "", None, lambda *_: None)
        assert read(store, folder, "a@1", chance) == content
