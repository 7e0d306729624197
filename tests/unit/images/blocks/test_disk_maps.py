"""Each file system's map against what its own tools say: with every unused block made garbage, the file
system is still whole and holds the same files."""

from __future__ import annotations

import random
import struct
import subprocess
from pathlib import Path

import pytest
from diskmaking import MIB, ext, run, soiled, sparse, tree

from images.blocks.bits import complement
from images.blocks.device import FileDevice
from images.blocks.survey import survey

EXT = {
    "ext4": [],
    "1k blocks": ["-b", "1024"],
    "ext2": ["-t", "ext2"],
    "meta_bg": ["-O", "meta_bg,^resize_inode", "-b", "1024"],
    "bigalloc": ["-O", "bigalloc", "-C", "32768"],
    "no sparse_super": ["-O", "^sparse_super,^resize_inode"],
    "sparse_super2": ["-O", "sparse_super2"],
    "32 bit": ["-O", "^64bit,^flex_bg"],
}


def spoil(image: Path) -> int:
    """Overwrite all that the map calls unused; returns how many bytes that were."""
    device = FileDevice(image)
    (area, *rest) = survey(device).areas
    device.close()
    assert area.ranges is not None and area.start == 0, "its map was believed"
    assert all(one.end - one.start < 2 * MIB for one in rest)
    spoilt, noise = 0, random.Random(9).randbytes(MIB)
    with image.open("r+b") as file:
        for offset, length in complement(area.ranges, area.end):
            file.seek(offset)
            file.write((noise * (length // MIB + 1))[:length])
            spoilt += length
    return spoilt


@pytest.mark.parametrize("options", EXT.values(), ids=EXT)
def test_ext(tmp_path: Path, options: list[str]) -> None:
    image = soiled(tmp_path / "image", 160 * MIB)
    ext(image, tree(tmp_path / "tree"), "-E", "nodiscard", *options)
    assert spoil(image) > 100 * MIB
    run("e2fsck", "-f", "-n", image)
    (tmp_path / "out").mkdir()
    run("debugfs", "-R", f"rdump / {tmp_path}/out", image)
    for path in (tmp_path / "tree").rglob("*"):
        if path.is_file():
            found = tmp_path / "out" / path.relative_to(tmp_path / "tree")
            assert found.read_bytes() == path.read_bytes()


def test_ext_with_a_journal_to_replay_is_not_believed(tmp_path: Path) -> None:
    image = sparse(tmp_path / "image", 64 * MIB)
    ext(image, tree(tmp_path / "tree"))
    with image.open("r+b") as file:
        file.seek(1024 + 96)
        incompat = struct.unpack("<I", file.read(4))[0]
        file.seek(1024 + 96)
        file.write(struct.pack("<I", incompat | 4))
    device = FileDevice(image)
    found = survey(device)
    assert found.areas[0].ranges is None and not found.shape["free"]
    assert "journal" in found.shape["partitions"][0]["why"]
    device.close()


@pytest.mark.parametrize("bits", ["12", "16", "32"])
def test_fat(tmp_path: Path, bits: str) -> None:
    image = soiled(tmp_path / "image", {"12": 8, "16": 64, "32": 300}[bits] * MIB)
    run("mkfs.vfat", "-F", bits, *(["-s", "8"] if bits == "12" else []), image)
    for path in sorted(tree(tmp_path / "tree").iterdir()):
        if path.is_file():
            run("mcopy", "-i", image, path, f"::{path.name}")
    run("mdel", "-i", image, "::file3")
    assert spoil(image) > 2 * MIB
    run("fsck.fat", "-n", image)
    for path in (tmp_path / "tree").iterdir():
        if path.is_file() and path.name != "file3":
            run("mcopy", "-o", "-i", image, f"::{path.name}", tmp_path / "back")
            assert (tmp_path / "back").read_bytes() == path.read_bytes()


@pytest.mark.parametrize("version", ["4", "5"])
def test_xfs(tmp_path: Path, version: str) -> None:
    image, proto = soiled(tmp_path / "image", 320 * MIB), tmp_path / "proto"
    source = tree(tmp_path / "tree")
    rows = [f"{name.name} ---644 0 0 {name}" for name in sorted(source.iterdir()) if name.is_file()]
    proto.write_text("\n".join(["boot", "0 0", "d--755 0 0", *rows, "$", "$", ""]))
    run("mkfs.xfs", "-f", "-K", "-q", "-m", f"crc={int(version == '5')}", "-p", proto, image)
    assert spoil(image) > 200 * MIB
    run("xfs_repair", "-n", image)
    for path in source.iterdir():  # (the tools cannot copy a file out: its extents say where it lies)
        if path.is_file() and path.stat().st_size > 4096:
            said = run("xfs_db", "-r", "-c", f"path /{path.name}", "-c", "bmap", image)
            data = b""
            for row in said.splitlines():
                words = row.split()
                place = run("xfs_db", "-r", "-c", f"convert fsblock {words[4]} byte", image)
                at = int(place.split()[1].strip("()"))
                with image.open("rb") as file:
                    file.seek(at)
                    data += file.read(int(words[7]) * 4096)
            assert data[: path.stat().st_size] == path.read_bytes()


def test_xfs_with_a_dirty_log_is_not_believed(tmp_path: Path) -> None:
    image = sparse(tmp_path / "image", 320 * MIB)
    run("mkfs.xfs", "-q", image)
    start = run("xfs_db", "-r", "-c", "sb 0", "-c", "p logstart", image).split("=")[1].strip()
    said = run("xfs_db", "-r", "-c", "sb 0", "-c", f"convert fsblock {start} daddr", image)
    block = int(said.split()[1].strip("()"))
    with image.open("r+b") as file:  # the unmount record no longer says so
        file.seek(block * 512 + 512 + 9)
        file.write(b"\0")
    device = FileDevice(image)
    assert "log" in survey(device).shape["partitions"][0]["why"]
    device.close()


@pytest.mark.parametrize("metadata", ["single", "dup"])
def test_btrfs(tmp_path: Path, metadata: str) -> None:
    image, source = soiled(tmp_path / "image", 320 * MIB), tree(tmp_path / "tree")
    run("mkfs.btrfs", "-q", "-f", "-K", "-m", metadata, "--rootdir", source, image)
    assert spoil(image) > 200 * MIB
    run("btrfs", "check", "--check-data-csum", image)
    (tmp_path / "out").mkdir()
    run("btrfs", "restore", image, tmp_path / "out")
    for path in source.rglob("*"):
        if path.is_file():
            assert (tmp_path / "out" / path.relative_to(source)).read_bytes() == path.read_bytes()


def test_ntfs(tmp_path: Path) -> None:
    image, source = soiled(tmp_path / "image", 100 * MIB), tree(tmp_path / "tree")
    run("mkfs.ntfs", "-F", "-q", "-f", "-s", "512", "-p", "0", "-H", "0", "-S", "0", image)
    for path in sorted(source.iterdir()):
        if path.is_file():
            run("ntfscp", "-f", image, path, path.name)
    assert spoil(image) > 50 * MIB
    run("ntfsfix", "-n", image)
    for path in source.iterdir():
        if path.is_file() and path.stat().st_size:
            done = subprocess.run(["ntfscat", image, path.name], capture_output=True, check=True)
            assert done.stdout == path.read_bytes()


def test_swap_keeps_its_header_alone(tmp_path: Path) -> None:
    image = soiled(tmp_path / "image", 16 * MIB)
    run("mkswap", image)
    device = FileDevice(image)
    assert survey(device).areas[0].ranges == [(0, 4096)]
    device.close()


def test_damaged_structures_only_mean_that_more_is_kept(tmp_path: Path) -> None:
    good = sparse(tmp_path / "good", 64 * MIB)
    ext(good, tree(tmp_path / "tree"))
    raw = good.read_bytes()
    rng = random.Random(1)
    for _ in range(150):
        data = bytearray(raw[: 8 * MIB])
        for _ in range(4):
            data[rng.randrange(1024, 8192)] = rng.randrange(256)
        image = tmp_path / "bad"
        image.write_bytes(data)
        device = FileDevice(image)
        found = survey(device)
        assert found.areas[0].start == 0 and found.areas[-1].end == device.size
        device.close()
