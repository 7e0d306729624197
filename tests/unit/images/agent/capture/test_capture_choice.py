"""What is captured: file systems, and names."""

from __future__ import annotations

import os
import zlib
from pathlib import Path

import pytest

from images import zstd
from images.agent.capture import cli, packing
from images.agent.capture.excludes import DEFAULT, Excludes, swap_files
from images.agent.capture.mounts import Mount, choose, parse_mounts
from images.capture import wire
from images.errors import BadInput, ImageError
from images.tree_reader import read_tree

MOUNTINFO = """\
22 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw
23 22 0:21 / /proc rw - proc proc rw
24 22 254:2 / /boot rw - ext4 /dev/vda2 rw
25 24 254:3 / /boot/efi rw - vfat /dev/vda3 rw
26 22 254:4 / /home rw - xfs /dev/vda4 rw
27 26 254:5 / /home/a\\040b rw - ext4 /dev/vda5 rw
28 22 0:40 / /var/lib/nfs rw - nfs4 server:/x rw
29 22 254:6 / /var rw - btrfs /dev/vda6 rw
"""


def test_system_file_systems_are_entered_others_are_named() -> None:
    mounts = parse_mounts(MOUNTINFO)
    assert Mount("/home/a b", "ext4") in mounts
    choice = choose(mounts, [], [])
    assert [mount.where for mount in choice.entered] == ["/boot", "/var"]
    assert [mount.where for mount in choice.left_out] == ["/home", "/home/a b"]
    choice = choose(mounts, ["/home", "/boot/efi"], ["/var"])
    assert [mount.where for mount in choice.entered] == ["/boot", "/boot/efi", "/home"]
    assert [mount.where for mount in choice.left_out] == ["/home/a b", "/var"]


def test_a_tree_below_another_root() -> None:
    rows = (("/mnt/x", "a"), ("/mnt/x/boot", "b"), ("/mnt/xy", "c"))
    text = "".join(f"1 0 8:1 / {where} rw - ext4 {device} rw\n" for where, device in rows)
    assert parse_mounts(text, "/mnt/x") == [Mount("/", "ext4"), Mount("/boot", "ext4")]


def test_swap_files_in_use_are_left_out() -> None:
    text = "Filename Type Size Used Priority\n/dev/vda2 partition 1 0 -2\n/odd\\040[1] file 1 0 -3\n"
    assert list(swap_files(text)) == ["/odd [[]1]"]


def test_default_list_leaves_directories_of_logs(tmp_path) -> None:
    for name in ("var/log/apt", "etc/ssh", "proc/1", "home/u/.cache/x"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "file").touch()
    excludes = Excludes(DEFAULT)
    found = {
        found.entry.path.decode()
        for found in read_tree(tmp_path, excludes.whole)
        if not excludes.drops(found.entry.path, found.entry.type)
    }
    assert {"var/log/apt", "etc/ssh/file", "proc", "home/u/.cache/x"} <= found
    assert not found & {"var/log/apt/file", "proc/1", "home/u/.cache/x/file"}


@pytest.mark.parametrize("missing", [False, True])
def test_bodies_unpack_to_what_was_packed(missing: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if missing:
        monkeypatch.setattr(packing, "_library", lambda: None)
    unpackers = {wire.ZSTD: zstd.decompress, wire.ZLIB: lambda data, size: zlib.decompress(data)}
    chunks = [b"a" * 100_000, b"b", bytes(range(256))]
    body = packing.packed(wire.pack_chunks(chunks))
    assert len(body) < 2000 and body[0] == (wire.ZLIB if missing else wire.ZSTD)
    assert wire.unpack_chunks(wire.unseal(body, unpackers)) == chunks
    assert wire.unseal(packing.packed(b"xy"), unpackers) == b"xy"


@pytest.mark.parametrize(
    "body",
    [b"", b"\0\0\0\0\3ab", b"\7\0\0\0\1a", b"\1\0\0\0\5no zlib", b"\2\0\0\0\5no zstd", b"\0\xff\0\0\0a"],
)
def test_bodies_that_are_none(body: bytes) -> None:
    def inflate(data: bytes, size: int) -> bytes:
        try:
            return zlib.decompress(data)
        except zlib.error as error:
            raise BadInput(str(error)) from error

    with pytest.raises(ImageError):
        wire.unseal(body, {wire.ZSTD: zstd.decompress, wire.ZLIB: inflate})


@pytest.mark.parametrize("body", [b"\0\0\0", b"\0\0\0\0", b"\0\0\0\5abc"])
def test_chunks_that_are_none(body: bytes) -> None:
    with pytest.raises(BadInput):
        wire.unpack_chunks(body)


def test_of_a_directory_its_own_bytes_are_expected_and_not_its_file_systems(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/blob").write_bytes(os.urandom(3_000_000))
    os.sync()  # until then some file systems have no blocks for it
    assert 3_000_000 <= cli._used(tmp_path, choose([], [], [])) < 3_100_000
    assert cli._used(Path("/"), choose([], [], [])) > 100 << 20, "of a whole system: its file system's"
