"""A tree of files exported as a disk: what is on it, by the kernel's and the tools' own reading. That it
boots is shown in tests/lab/test_lab_export.py."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from imagestore import make
from nastytree import build, snapshot

from images.blocks.loop import Loop, attached
from images.errors import BadInput
from images.exporting.apart import apart
from images.exporting.formats import export_image
from images.exporting.machine import Machine, plain_machine
from images.importing.from_directory import import_directory
from images.layout_parse import parse_layout
from images.progress import silent
from images.store import ImageStore

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
LAYOUT = {
    "partitions": [
        {"role": "bios"},
        {"role": "esp", "size": "64M"},
        {"role": "boot", "size": "128M"},
        {"role": "swap", "size": "64M"},
        {"role": "root", "size": "400M", "fs": "xfs"},
        {"role": "data", "size": "grow", "mount": "/srv", "label": "srv", "keep": True},
    ]
}


@pytest.fixture
def store(tmp_path: Path) -> ImageStore:
    tree = tmp_path / "tree"
    tree.mkdir()
    build(tree)
    (tree / "boot").mkdir(exist_ok=True)
    (tree / "boot/vmlinuz-6.1").write_bytes(b"kernel" * 1000)
    (tree / "boot/initrd.img-6.1").write_bytes(b"initrd" * 1000)
    made = make(tmp_path)
    import_directory(made, "nasty", tree, excludes=())
    return made


def table(file: Path) -> list[dict[str, object]]:
    said = subprocess.run(["sfdisk", "--json", str(file)], check=True, capture_output=True, text=True).stdout
    rows: list[dict[str, object]] = json.loads(said)["partitiontable"]["partitions"]
    return rows


def looked_at(file: Path, number: int, where: Path) -> tuple[dict[bytes, object], dict[str, str]]:
    """Everything on one partition, and the texts of some files."""
    row = table(file)[number - 1]

    def look(_: object) -> tuple[dict[bytes, object], dict[str, str]]:
        with file.open("r+b") as opened:
            start, size = int(str(row["start"])) * 512, int(str(row["size"])) * 512
            with Loop(opened.fileno(), start, size) as loop:
                subprocess.run(["mount", "-o", "ro", loop.path, str(where)], check=True)
                try:
                    names = ("etc/fstab", "etc/hostname", "grub/grub.cfg", "boot/grub/grub.cfg")
                    texts = {n: (where / n).read_text() for n in names if (where / n).is_file()}
                    return dict(snapshot(where)), texts
                finally:
                    subprocess.run(["umount", str(where)], check=True)

    where.mkdir(exist_ok=True)
    return apart(look, silent)


def test_every_attribute_is_on_the_disk(
    store: ImageStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = Path("my disks/disk.raw")  # the mount table has another name for what lies below it
    file.parent.mkdir()
    form, written = export_image(store, "nasty", file)
    assert form == "raw" and written.files > 20
    found, texts = looked_at(file, len(table(file)), tmp_path / "mnt")
    wanted = dict(snapshot(tmp_path / "tree"))
    ours = (b"etc", b"boot", b"var", b"root")  # where a machine's own things are put
    same = {path for path in wanted if path and not path.startswith(ours)}
    assert len(same) > 20
    assert {path: found.get(path) for path in same} == {path: wanted[path] for path in same}
    assert texts["etc/hostname"] == "nasty\n" and "errors=remount-ro" in texts["etc/fstab"]
    assert "linux /boot/vmlinuz-6.1 root=UUID=" in texts["boot/grub/grub.cfg"]
    assert "console=ttyS0" in texts["boot/grub/grub.cfg"], "not this machine's own consoles"
    assert file.read_bytes()[:440].strip(b"\0"), "BIOS boot code"
    assert file.stat().st_blocks * 512 < file.stat().st_size // 4, "sparse"
    assert not attached(file)
    assert list(file.parent.iterdir()) == [file] and file.stat().st_mode & 0o777 == 0o600


def test_the_layout_that_is_asked_for(store: ImageStore, tmp_path: Path) -> None:
    file = tmp_path / "disk.qcow2"
    machine = Machine(plain_machine("nasty").node, parse_layout(LAYOUT), 2 << 30)
    assert export_image(store, "nasty", file, machine=machine)[0] == "qcow2"
    raw = tmp_path / "raw"
    subprocess.run(["qemu-img", "convert", "-O", "raw", str(file), str(raw)], check=True)
    assert raw.stat().st_size == 2 << 30 and len(table(raw)) == 6
    boot, texts = looked_at(raw, 3, tmp_path / "mnt")
    assert b"vmlinuz-6.1" in boot and "linux /vmlinuz-6.1 " in texts["grub/grub.cfg"]
    root, texts = looked_at(raw, 5, tmp_path / "mnt")
    rows = [line.split() for line in texts["etc/fstab"].splitlines() if line.startswith("UUID")]
    assert [row[1:3] for row in rows] == [
        ["/", "xfs"], ["/boot", "ext4"], ["/boot/efi", "vfat"], ["/srv", "ext4"], ["none", "swap"],
    ]  # fmt: skip
    assert b"srv" in root


@pytest.mark.parametrize(
    ("layout", "reason"),
    [
        ([{"role": "boot", "size": "200M"}, {"role": "root", "size": "grow", "luks": "server"}], "luks"),
        ([{"role": "root", "size": "32M", "fs": "ext4"}], "too small"),
    ],
)
def test_what_cannot_be_had_is_refused(
    store: ImageStore, tmp_path: Path, layout: list[dict[str, str]], reason: str
) -> None:
    machine = Machine(plain_machine("nasty").node, parse_layout({"partitions": [{"role": "bios"}, *layout]}))
    with pytest.raises(BadInput, match=reason):
        export_image(store, "nasty", tmp_path / "disk.raw", machine=machine)
    assert not [name for name in os.listdir(tmp_path) if "disk.raw" in name]


def test_a_tree_without_a_kernel_is_refused(store: ImageStore, tmp_path: Path) -> None:
    (tmp_path / "bare/etc").mkdir(parents=True)
    import_directory(store, "bare", tmp_path / "bare", excludes=())
    with pytest.raises(BadInput, match="no kernel"):
        export_image(store, "bare", tmp_path / "disk.raw")


def test_killed_in_the_middle_nothing_stays_mounted(store: ImageStore, tmp_path: Path) -> None:
    file = tmp_path / "disk.raw"
    child = os.fork()
    if not child:

        def slow(done: int, total: int | None, what: str, /) -> None:
            (tmp_path / "mounted").touch()
            time.sleep(60)

        export_image(store, "nasty", file, progress=slow)
        os._exit(0)
    until = time.monotonic() + 60
    while not (tmp_path / "mounted").exists():
        assert time.monotonic() < until
        time.sleep(0.02)
    temp = tmp_path / ".disk.raw.tmp"
    assert attached(temp), "a loop device for each file system"
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    until = time.monotonic() + 10
    while attached(temp) and time.monotonic() < until:
        time.sleep(0.05)
    assert not attached(temp)
    assert not file.exists()
    assert export_image(store, "nasty", file)[0] == "raw", "and the next try is not in anybody's way"
