"""Wiping, partitioning and file systems on an ordinary file, checked with the tools that read them."""

import errno
import os
import struct
import subprocess
from pathlib import Path

import pytest

from images.agent import disk, present
from images.agent.present import table
from images.agent.run import CommandFailed, run
from images.diskplan import plan, sfdisk_script
from images.layout import GIB, MIB
from images.layout_parse import default_layout


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "disk"
    with path.open("wb") as file:
        file.truncate(2 * GIB)
    return str(path)


def laid_out(image):
    """A table on it: the plan, and the identities of its partitions."""
    made = plan(default_layout(), 2 * GIB)
    guids = [disk.new_uuid("gpt") for _ in made.extents]
    run(["sfdisk", "--quiet", image], sfdisk_script(made, disk.new_uuid("gpt"), guids))
    return made, guids


def full(image):
    """The same, with something to boot from and something in every partition."""
    made, _ = laid_out(image)
    with open(image, "r+b") as file:
        file.write(b"\xeb\x63BOOTCODE")
        for extent in made.extents:
            file.seek(extent.start)
            file.write(b"FS" * 1000)
    return made


def test_sfdisk_takes_our_script_and_makes_exactly_the_plan(image):
    made, guids = laid_out(image)
    text = run(["sfdisk", "--dump", image])
    for extent in made.extents:
        assert f"start={extent.start // 512:>12}, size={extent.size // 512:>12}" in text
        assert guids[extent.number - 1].upper() in text


def test_wipe_leaves_nothing_that_could_boot_or_be_found(image):
    made = full(image)
    disk.wipe(image, [(e.start, e.size) for e in made.extents], made.extents)
    assert run(["wipefs", "--noheadings", image]) == ""
    with open(image, "rb") as file:
        assert not any(file.read(4 * MIB))
        for extent in made.extents:
            file.seek(extent.start)
            assert not any(file.read(MIB))


@pytest.mark.parametrize(
    ("fs", "role"), [("ext4", "root"), ("xfs", "root"), ("vfat", "esp"), ("swap", "swap")]
)
def test_filesystems_get_the_uuid_we_chose(tmp_path, fs, role):
    made = plan(default_layout("xfs" if fs == "xfs" else "ext4"), 5 * GIB)
    extent = made.by_role(role)
    path = tmp_path / "part"
    with path.open("wb") as file:
        file.truncate(extent.size)
    uuid = disk.new_uuid(fs)
    disk.make_filesystem(str(path), extent.partition, extent.size, uuid, 1000)
    said = run(["blkid", "-p", "-o", "export", str(path)])
    assert f"UUID={uuid}" in said.splitlines() and f"TYPE={fs}" in said.splitlines()
    disk.check_filesystem(str(path), fs)


def test_root_has_inodes_for_every_file_and_no_features_that_old_tools_refuse(tmp_path):
    extent = plan(default_layout(), 2 * GIB).by_role("root")
    path = tmp_path / "part"
    with path.open("wb") as file:
        file.truncate(extent.size)
    disk.make_filesystem(str(path), extent.partition, extent.size, disk.new_uuid("ext4"), 300_000)
    said = subprocess.run(["dumpe2fs", "-h", str(path)], capture_output=True, text=True).stdout
    inodes = next(int(line.split()[-1]) for line in said.splitlines() if line.startswith("Inode count"))
    assert inodes >= 600_000
    assert "orphan_file" not in said and "metadata_csum_seed" not in said


def test_check_finds_damage(tmp_path):
    extent = plan(default_layout(), 2 * GIB).by_role("root")
    path = tmp_path / "part"
    with path.open("wb") as file:
        file.truncate(extent.size)
    disk.make_filesystem(str(path), extent.partition, extent.size, disk.new_uuid("ext4"), 10)
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(os.urandom(4096))
    with pytest.raises(CommandFailed, match="e2fsck failed"):
        disk.check_filesystem(str(path), "ext4")


def test_commands_fail_with_their_last_words():
    with pytest.raises(CommandFailed, match=r"ls failed with code 2: .*No such file"):
        run(["ls", "/no/such"])
    with pytest.raises(CommandFailed, match="no-such-tool is not there"):
        run(["no-such-tool"])
    with pytest.raises(CommandFailed, match="did not finish within"):
        run(["sleep", "5"], limit=0.1)


def test_clear_discards_the_whole_disk_or_overwrites_it(tmp_path, monkeypatch):
    device = tmp_path / "vda"
    device.touch()
    os.truncate(device, 5 << 30)
    asked, able = [], True

    def ioctl(handle, request, argument):
        asked.append((request, *struct.unpack("QQ", argument)))
        if request == disk.BLKDISCARD and not able:
            raise OSError(errno.EOPNOTSUPP, "not supported")

    monkeypatch.setattr(disk.fcntl, "ioctl", ioctl)
    disk.clear(str(device), pytest.fail)
    assert asked == [(disk.BLKDISCARD, 0, 5 << 30)]
    able, said = False, []
    disk.clear(str(device), said.append)
    assert [(start, length) for request, start, length in asked[2:] if request == disk.BLKZEROOUT] == [
        (number << 30, 1 << 30) for number in range(5)
    ]
    assert "cannot discard" in said[0]


def test_unboot_leaves_table_and_files_alone(image):
    made = full(image)
    before = run(["sfdisk", "--dump", image])
    heads = [made.by_role("bios").start, made.by_role("esp").start]
    disk.unboot(image, heads)
    assert run(["sfdisk", "--dump", image]) == before and table(image)[1].name == "esp"
    with open(image, "rb") as file:
        assert not any(file.read(440))
        for extent in made.extents:
            file.seek(extent.start)
            assert any(file.read(2000)) == (extent.start not in heads)


def test_a_blank_disk_is_known_by_what_sfdisk_says(image):
    with pytest.raises(CommandFailed, match=present.NO_TABLE):
        run(["sfdisk", "--json", image])


def test_partitions_are_used_when_udevd_has_read_the_table_again(image, tmp_path, monkeypatch):
    """It does so after each writer, and takes them away meanwhile."""
    made, did = plan(default_layout(), 2 * GIB), []
    monkeypatch.setattr(disk, "run", lambda command, *_, **__: did.append(command[0]))
    monkeypatch.setattr(disk, "_wait_for_partition", lambda *_: did.append("use"))
    monkeypatch.setattr(disk, "UDEVD", tmp_path / "control")
    guids = [disk.new_uuid("gpt") for _ in made.extents]
    disk.unboot(image, [])
    assert did == [], "nobody to wait for"
    (tmp_path / "control").touch()
    disk.unboot(image, [])
    disk.partition(image, made, disk.new_uuid("gpt"), guids)
    assert did == ["udevadm", "sfdisk", "udevadm", *["use"] * len(made.extents)]


def test_a_partition_that_is_taken_away_under_the_reader_is_waited_for(tmp_path, monkeypatch):
    """The kernel takes partitions away and shows them again; a read in between ends with ENODEV."""
    size = tmp_path / "size"
    size.write_text("2048\n")
    real, said = Path.read_text, iter([errno.ENODEV, errno.ENOENT, None])

    def read(path):
        number = next(said)
        if number:
            raise OSError(number, "sysfs")
        return real(path)

    monkeypatch.setattr(Path, "read_text", read)
    assert [disk._size_in(size) for _ in range(3)] == [None, None, 1 << 20]
    said = iter([errno.EIO])
    with pytest.raises(OSError, match="sysfs"):
        disk._size_in(size)
