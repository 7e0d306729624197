"""A whole disk in is the same disk out: tables, boot sectors, gaps, files; from raw and virtual disks."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from diskmaking import MIB, ext, put, run, soiled, sparse, tree
from imagestore import make

from images.agent import diskimage
from images.agent.diskimage import put_disk
from images.blocks.gpt_move import move_backup
from images.blocks.regions import read_regions, shape_of
from images.blocks.table import read_table
from images.blocks.writing import check_target, verify_disk, write_disk
from images.errors import BadInput, ChunkCorrupt
from images.importing.from_disk import import_disk
from images.importing.nbd import NbdDevice
from images.progress import silent
from images.store import ImageStore
from images.versions import Version

GPT = """label: gpt
start=2048, size=65536, type=U, name="esp"
start=67584, size=131072, type=L, name="root"
start=198656, size=65536, type=L, name="mystery"
"""
MBR = """label: dos
start=2048, size=131072, type=83, bootable
start=133120, size=120000, type=5
start=135168, size=65536, type=83
start=202752, size=16384, type=83
"""
SIZE = 160 * MIB


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """ESP, an ext4 with deleted files, a partition that nobody knows, boot code, and an earlier life."""
    folder = tmp_path_factory.mktemp("disk")
    disk = soiled(folder / "disk.raw", SIZE)
    with disk.open("r+b") as file:
        file.write(bytes(2 * MIB))
    run("sfdisk", "-q", disk, given=GPT)
    esp, root = sparse(folder / "esp", 32 * MIB), soiled(folder / "root", 64 * MIB)
    run("mkfs.vfat", "-F", "32", esp)
    ext(root, tree(folder / "tree"), "-E", "nodiscard")
    with disk.open("r+b") as file:
        file.write(b"\xeb\x63" + random.Random(3).randbytes(438))  # boot code
        file.seek(40 * 512)
        file.write(b"between the table and the first partition")
        for part, start in ((esp, 1 * MIB), (root, 33 * MIB)):
            file.seek(start)
            file.write(part.read_bytes())
        file.seek(97 * MIB)
        file.write(bytes(32 * MIB))
        file.seek(100 * MIB)
        file.write(b"nobody knows this" * 1000)
        file.seek(129 * MIB)
        file.write(bytes(30 * MIB))
    yield disk
    shutil.rmtree(folder)


def restore(store: ImageStore, version: Version, target: Path, blank: bool) -> None:
    manifest = store.manifest(version.id)
    chunks = store.source(version.id).stream(chunk.id for chunk in manifest.chunks())
    fd = os.open(target, os.O_RDWR)
    try:
        write_disk(manifest.header, manifest.entries(), chunks, fd, blank)
        assert verify_disk(manifest.header, manifest.entries(), fd, 1 << 40) == manifest.header.bytes
    finally:
        os.close(fd)


def same(found: Path, disk: Path) -> None:
    """Everything outside the root file system is the same byte for byte; the root is sound and full."""
    got, wanted = found.read_bytes(), disk.read_bytes()
    assert got[: 1 * MIB] == wanted[: 1 * MIB]
    assert got[97 * MIB : SIZE] == wanted[97 * MIB : SIZE], "zeros of unknown partitions are zeros again"
    run("sfdisk", "--verify", found)
    part = found.with_suffix(".root")
    part.write_bytes(got[33 * MIB : 97 * MIB])
    run("e2fsck", "-f", "-n", part)
    out = found.with_suffix(".files")
    out.mkdir()
    run("debugfs", "-R", f"rdump / {out}", part)
    for path in (disk.parent / "tree").rglob("*"):
        if path.is_file():
            assert (out / path.relative_to(disk.parent / "tree")).read_bytes() == path.read_bytes()


def test_raw_to_a_soiled_disk(disk: Path, tmp_path: Path) -> None:
    store = make(tmp_path)
    version = import_disk(store, "win", disk, "as it was")
    assert version.kind == "disk" and version.bytes < 40 * MIB, "unused blocks of the root stay out"
    shape = shape_of(store.manifest(version.id).header)
    assert [row["fs"] for row in shape["partitions"]] == ["vfat", "ext4", ""]
    assert [row["name"] for row in shape["partitions"]] == ["esp", "root", "mystery"]
    target = soiled(tmp_path / "target", SIZE)
    restore(store, version, target, blank=False)
    same(target, disk)
    assert not list(store.verify())
    store.gc(grace=0)
    again = import_disk(store, "win", target)
    assert again.bytes == version.bytes and again.number == 2
    entries = [list(store.manifest(one.id).entries()) for one in (version, again)]
    assert entries[0] == entries[1], "what was restored imports as what it was made from"


def test_to_a_blank_sparse_file_and_a_larger_disk(disk: Path, tmp_path: Path) -> None:
    store = make(tmp_path)
    version = import_disk(store, "d", disk)
    target = sparse(tmp_path / "target", SIZE)
    restore(store, version, target, blank=True)
    same(target, disk)
    assert target.stat().st_blocks * 512 < 60 * MIB, "holes stay holes"
    larger = sparse(tmp_path / "larger", SIZE + 64 * MIB)
    restore(store, version, larger, blank=True)
    fd = os.open(larger, os.O_RDWR)
    assert move_backup(fd, SIZE + 64 * MIB, 512)
    assert not move_backup(fd, SIZE + 64 * MIB, 512)
    os.close(fd)
    verdict = subprocess.run(["sfdisk", "--verify", str(larger)], capture_output=True, text=True, check=True)
    assert "No errors" in verdict.stdout and not verdict.stderr, "the protective MBR covers it all"
    raw = bytearray(larger.read_bytes())
    raw[512:1024] = bytes(512)  # the copy at the end serves as well
    table = read_table(lambda at, size: bytes(raw[at : at + size]), len(raw), 512)
    assert table.kind == "gpt" and [part.number for part in table.parts] == [1, 2, 3]


def test_cut_off_before_the_table_was_moved_that_is_done_the_next_time(
    disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Cut(Exception):
        """The power is gone."""

    def cut(*_: object) -> bool:
        raise Cut

    store = make(tmp_path)
    manifest = store.manifest(import_disk(store, "d", disk).id)
    larger = sparse(tmp_path / "larger", SIZE + 64 * MIB)
    monkeypatch.setattr(diskimage, "drop_caches", lambda: None)
    with monkeypatch.context() as patch, pytest.raises(Cut):
        patch.setattr(diskimage, "move_backup", cut)
        put_disk(manifest, store.source("d"), str(larger), silent)
    again = put_disk(manifest, store.source("d"), str(larger), silent)
    assert again == (0, manifest.header.bytes), "all of it was there"
    verdict = subprocess.run(["sfdisk", "--verify", str(larger)], capture_output=True, text=True, check=True)
    assert "No errors" in verdict.stdout and not verdict.stderr


@pytest.mark.parametrize("kind", ["qcow2", "vmdk", "vhdx", "vdi"])
def test_virtual_disks(disk: Path, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    store = make(tmp_path)
    virtual = tmp_path / f"x.{kind}"
    run("qemu-img", "convert", "-f", "raw", "-O", kind, disk, virtual)
    raw, other = import_disk(store, "raw", disk), import_disk(store, "virtual", virtual)
    assert list(store.manifest(raw.id).entries()) == list(store.manifest(other.id).entries())
    assert not list(tmp_path.glob("bootsrv-nbd-*"))


def test_what_a_killed_import_left_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    virtual = tmp_path / "x.qcow2"
    run("qemu-img", "create", "-q", "-f", "qcow2", virtual, "1M")
    killed = f"""
import os, sys
from pathlib import Path
from images.importing.nbd import NbdDevice
with NbdDevice(Path({str(virtual)!r}), "qcow2"):
    os.kill(os.getpid(), 9)
"""
    where = {**os.environ, "TMPDIR": str(tmp_path)}
    assert subprocess.run([sys.executable, "-c", killed], env=where, check=False).returncode == -9
    (left,) = tmp_path.glob("bootsrv-nbd-*")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with NbdDevice(virtual, "qcow2") as device:
        assert device.size == MIB and not left.exists()
    assert not list(tmp_path.glob("bootsrv-nbd-*"))


def test_an_image_that_needs_other_files_is_refused(tmp_path: Path) -> None:
    sparse(tmp_path / "secret", MIB)
    base = ("-F", "raw", "-b", tmp_path / "secret")
    run("qemu-img", "create", "-q", "-f", "qcow2", *base, tmp_path / "x.qcow2")
    with pytest.raises(BadInput, match="needs other files"):
        import_disk(make(tmp_path), "x", tmp_path / "x.qcow2")
    (tmp_path / "y.qcow2").write_bytes(b"QFI\xfb" + bytes(5000))
    with pytest.raises(BadInput):
        import_disk(make(tmp_path), "x", tmp_path / "y.qcow2")


def test_mbr_with_logical_partitions(tmp_path: Path) -> None:
    disk, part = sparse(tmp_path / "disk", 128 * MIB), soiled(tmp_path / "part", 32 * MIB)
    run("sfdisk", "-q", disk, given=MBR)
    ext(part, tree(tmp_path / "tree"), "-E", "nodiscard")
    put(disk, part, 135168 * 512)
    store = make(tmp_path)
    version = import_disk(store, "d", disk)
    rows = shape_of(store.manifest(version.id).header)["partitions"]
    assert [(row["number"], row["start"] // 512, row["fs"]) for row in rows] == [
        (1, 2048, ""), (5, 135168, "ext4"), (6, 202752, ""),
    ]  # fmt: skip
    target = soiled(tmp_path / "target", 128 * MIB)
    restore(store, version, target, blank=False)
    assert target.read_bytes()[: 66 * MIB] == disk.read_bytes()[: 66 * MIB]
    part.write_bytes(target.read_bytes()[66 * MIB : 98 * MIB])
    run("e2fsck", "-f", "-n", part)


def test_what_is_checked_before_a_disk_is_touched(disk: Path, tmp_path: Path) -> None:
    store = make(tmp_path)
    header = store.manifest(import_disk(store, "d", disk).id).header
    shape = shape_of(header)
    check_target(shape, SIZE, 512, "/dev/x")
    with pytest.raises(BadInput, match="needs"):
        check_target(shape, SIZE - 512, 512, "/dev/x")
    with pytest.raises(BadInput, match="sectors of 4096"):
        check_target(shape, SIZE, 4096, "/dev/x")
    entries = list(store.manifest("d").entries())
    with pytest.raises(BadInput, match="no region"):
        list(read_regions(header, [entries[0], entries[1]._replace(path=b"../../etc")]))


def test_broken_off_it_does_not_boot_and_bad_disks_are_noticed(disk: Path, tmp_path: Path) -> None:
    store = make(tmp_path)
    version = import_disk(store, "d", disk)
    manifest, target = store.manifest(version.id), tmp_path / "target"
    target.write_bytes(disk.read_bytes())
    chunks = store.source(version.id).stream(chunk.id for chunk in manifest.chunks())
    fd = os.open(target, os.O_RDWR)
    with pytest.raises(BadInput, match="promised"):
        write_disk(manifest.header, manifest.entries(), (next(chunks) for _ in range(50)), fd)
    assert os.pread(fd, 4 * MIB, 0) == bytes(4 * MIB)
    restore(store, version, target, blank=False)
    os.pwrite(fd, b"flip", 100 * MIB)
    with pytest.raises(ChunkCorrupt, match="bad disk"):
        verify_disk(manifest.header, manifest.entries(), fd, 1 << 40)
    os.close(fd)
