"""What an imaged system needs to find its root: refused early where it lacks it, added where it has it."""

from __future__ import annotations

import gzip
import subprocess
from pathlib import Path
from typing import Any

import pytest

from images.agent import initramfs, initrd
from images.compress import zstd_frame
from images.errors import BadInput, ImageError
from images.layout import GIB
from images.layout_parse import parse_layout
from images.storage import Storage, resolve

KEY = {"url": "http://10.0.2.2:8080/node/v1/diskkey", "token": "abc_DEF-1"}


def storage(luks: str | None = "server") -> Storage:
    row: dict[str, Any] = {"role": "lvm", "vg": "vg0", "size": "grow"}
    rows = [{"role": "bios"}, {"role": "boot", "size": "300M"}, {**row, **({"luks": luks} if luks else {})}]
    volumes = [{"vg": "vg0", "name": "root", "role": "root", "size": "grow"}]
    disk = {"path": "/dev/vda", "size": 8 * GIB, "sector": 512, "read_only": False, "removable": False}
    found = [{**disk, "transport": "virtio", "model": None, "serial": None}]
    return resolve(parse_layout({"partitions": rows, "volumes": volumes}), found, None, GIB)


def test_an_image_without_the_packages_is_refused_by_their_names() -> None:
    names = [b"usr/share/initramfs-tools/hooks/lvm2", b"bin/sh"]
    with pytest.raises(BadInput, match=r"image d@1 could not start .*lacks cryptsetup-initramfs, busybox;"):
        initramfs.check(storage(), names, "d@1")
    names += [b"usr/share/initramfs-tools/hooks/cryptroot", b"usr/bin/busybox"]
    initramfs.check(storage(), names, "d@1")


def packed(tmp_path: Path, how: str) -> bytes:
    """An initramfs as Debian makes them: an early archive, then a compressed one."""
    programs = ("usr/sbin/lvm", "usr/sbin/cryptsetup", "usr/bin/busybox")
    main = initrd.addition(dict.fromkeys(programs, (b"x", 0o755)))
    early = initrd.addition({"kernel/x86/microcode/GenuineIntel.bin": (b"m" * 1000, 0o644)})
    body = {"gzip": gzip.compress, "zstd": zstd_frame, "none": bytes}[how](main)
    return early + bytes(512) + body


@pytest.mark.parametrize("how", ["gzip", "zstd", "none"])
def test_names_of_every_archive(tmp_path: Path, how: str) -> None:
    found = initrd.names(packed(tmp_path, how))
    assert {"kernel/x86/microcode/GenuineIntel.bin", "usr/sbin/lvm", "usr/bin/busybox"} <= found


CUT_SHORT = gzip.compress(b"070701" + b"0" * 200, mtime=0)[:-20]


@pytest.mark.parametrize("data", [b"070701", b"rubbish", CUT_SHORT])
def test_damage_is_told(data: bytes) -> None:
    with pytest.raises(ImageError):
        initrd.names(data)


def test_what_is_appended_can_be_unpacked_and_is_for_root_only(tmp_path: Path) -> None:
    (tmp_path / "boot").mkdir()
    (tmp_path / "boot/vmlinuz-6.1").write_bytes(b"k")
    old = packed(tmp_path, "none") + b"\0"
    (tmp_path / "boot/initrd.img-6.1").write_bytes(old)
    made = storage()
    uuids = {made.crypts[0].below: "1111-2222", "/dev/vg0/root": "R"}
    said = initramfs.install(tmp_path, made, uuids, KEY)
    assert said == "initramfs told of luks, lvm"
    file = tmp_path / "boot/initrd.img-6.1"
    assert file.stat().st_mode & 0o777 == 0o600 and file.read_bytes().startswith(old)
    extra = tmp_path / "etc/bootsrv/initramfs-extra.cpio"
    assert file.read_bytes().endswith(extra.read_bytes()) and extra.stat().st_mode & 0o777 == 0o600
    out = tmp_path / "out"
    out.mkdir()
    subprocess.run(["cpio", "-idm", "--quiet"], input=extra.read_bytes(), cwd=out, check=True)
    assert "UUID=1111-2222" in (out / "cryptroot/crypttab").read_text()
    script = out / "usr/local/sbin/bootsrv-disk-key"
    assert script.stat().st_mode & 0o777 == 0o700 and "Bearer abc_DEF-1" in script.read_text()
    assert subprocess.run(["sh", "-n", str(script)], check=False).returncode == 0


def test_the_key_script_takes_no_words_that_a_shell_would_act_on() -> None:
    for bad in ({**KEY, "token": "a'b"}, {**KEY, "url": "http://x/'$(id)"}, {}):
        with pytest.raises(ImageError):
            initramfs.key_script(bad)


def test_typed_passphrases_need_no_script(tmp_path: Path) -> None:
    made = storage("passphrase")
    assert initramfs.needs(made) == ("luks", "lvm")
