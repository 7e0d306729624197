"""A disk that was cut off while it was copied is refused; one that only grew is not."""

from __future__ import annotations

import random
import shutil
import subprocess
from contextlib import closing
from pathlib import Path

import pytest
from diskmaking import MIB, ext, put, run, sparse, tree
from imagestore import make

from images.blocks.device import FileDevice
from images.blocks.regions import doubts
from images.blocks.survey import survey
from images.errors import BadInput
from images.importing.auto import import_image

TABLES = {
    "gpt": "label: gpt\nstart=2048, size=65536\nstart=67584, size=131072\n",
    "mbr": "label: dos\nstart=2048, size=65536, type=83\nstart=67584, size=131072, type=83\n",
    "logical": "label: dos\nstart=2048, size=65536, type=83\nstart=67584, size=131072, type=5\n"
    "start=69632, size=65536, type=83\n",
}
SIZE = 100 * MIB


def cut(path: Path, size: int) -> Path:
    with path.open("r+b") as file:
        file.truncate(size)
    return path


@pytest.mark.parametrize("table", sorted(TABLES))
@pytest.mark.parametrize("size", [20 * MIB, 60 * MIB, 97 * MIB - 512])
def test_partitions_behind_the_end(tmp_path: Path, table: str, size: int) -> None:
    disk = sparse(tmp_path / "disk.raw", SIZE)
    run("sfdisk", "-q", disk, given=TABLES[table])
    ext(sparse(tmp_path / "part", 32 * MIB), tree(tmp_path / "tree"))
    put(disk, tmp_path / "part", MIB)
    store = make(tmp_path)
    import_image(store, "whole", disk)
    with pytest.raises(BadInput, match=r"cut off: .* MiB are missing"):
        import_image(store, "cut", cut(disk, size))
    assert {version.name for version in store.versions()} == {"whole"}
    with closing(FileDevice(disk)) as device:  # a capture of such a disk is taken, and says so
        assert any("cut off" in doubt for doubt in doubts(survey(device).shape))


def test_a_gpt_without_its_copy(tmp_path: Path) -> None:
    disk = sparse(tmp_path / "disk.raw", SIZE)
    run("sfdisk", "-q", disk, given=TABLES["gpt"])
    import_image(make(tmp_path), "d", cut(disk, SIZE + 50 * MIB))  # the disk grew
    with pytest.raises(BadInput, match=r"cut off: 1\.0 MiB are missing"):
        import_image(make(tmp_path), "d", cut(disk, SIZE - MIB))


MAKE = {
    "ext4": ["mkfs.ext4", "-q", "-F"], "xfs": ["mkfs.xfs", "-q"], "btrfs": ["mkfs.btrfs", "-q"],
    "vfat": ["mkfs.vfat", "-F", "32"], "ntfs": ["mkntfs", "-q", "-F", "-Q"],
}  # fmt: skip


@pytest.mark.parametrize("fs", sorted(MAKE))
def test_file_systems_behind_the_end(tmp_path: Path, fs: str) -> None:
    disk = sparse(tmp_path / "disk.raw", 320 * MIB)
    run(*MAKE[fs], disk)
    store = make(tmp_path)
    import_image(store, "whole", disk)
    for size in (300 * MIB, MIB):
        with pytest.raises(BadInput, match=r"cut off: .* MiB are missing"):
            import_image(store, "cut", cut(disk, size))


def test_the_last_partition_has_a_larger_file_system(tmp_path: Path) -> None:
    """Its end is within the disk's, so it is kept as it is, with a warning."""
    disk = sparse(tmp_path / "disk.raw", SIZE)
    run("sfdisk", "-q", disk, given=TABLES["mbr"])
    ext(sparse(tmp_path / "part", 40 * MIB), tree(tmp_path / "tree"))
    put(disk, tmp_path / "part", MIB)
    version = import_image(make(tmp_path), "d", disk)
    assert "larger than its partition" in version.meta["warnings"][0]


def test_what_is_marked_like_a_table_and_is_none(tmp_path: Path) -> None:
    rng = random.Random(5)
    for number in range(200):
        raw = bytearray(rng.randbytes(512))
        raw[510:] = b"\x55\xaa"
        raw[446] |= 1
        image = tmp_path / f"{number}"
        image.write_bytes(bytes(raw) + bytes(MIB))
        with closing(FileDevice(image)) as device:
            assert "missing" not in survey(device).shape


@pytest.mark.parametrize(
    "form", ["qcow2", "qcow2 -c", "vmdk", "vmdk -o subformat=streamOptimized", "vhdx", "vdi", "vpc"]
)
def test_virtual_disks(tmp_path: Path, form: str) -> None:
    disk = sparse(tmp_path / "disk.raw", SIZE)
    run("sfdisk", "-q", disk, given=TABLES["gpt"])
    with disk.open("r+b") as file:
        file.seek(40 * MIB)
        file.write(random.Random(1).randbytes(12 * MIB))
    whole = tmp_path / "virtual"
    run("qemu-img", "convert", "-f", "raw", "-O", *form.split(), disk, whole)
    store = make(tmp_path)
    import_image(store, "whole", whole)
    size = whole.stat().st_size
    for length in (size - 6_000_000, size // 2, 70_000):
        with pytest.raises(BadInput, match=r"cut off|truncated|Could not open"):
            import_image(store, "cut", cut(Path(shutil.copy(whole, tmp_path / "cut")), length))


def test_leaks_are_no_damage(tmp_path: Path) -> None:
    """A crash leaves clusters that nobody uses: everything that counts is there."""
    disk = tmp_path / "disk.qcow2"
    run("qemu-img", "create", "-q", "-f", "qcow2", disk, "1G")
    run("qemu-io", "-c", "write -P 7 0 1M", "-c", "write -P 8 600M 1M", disk)
    raw = bytearray(disk.read_bytes())
    table = int.from_bytes(raw[40:48], "big")  # the L1 table: what it named is used no more
    raw[table : table + 8] = bytes(8)
    disk.write_bytes(raw)
    assert subprocess.run(["qemu-img", "check", "-q", disk], capture_output=True).returncode == 3, "a leak"
    made = import_image(make(tmp_path), "d", disk)
    assert made.kind == "disk" and made.meta["disk"]["size"] == 1 << 30
