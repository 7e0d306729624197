"""The boot menu: the newest kernel of any distribution's naming, arguments that stay what they were."""

import subprocess
from pathlib import Path

import pytest

from images.agent import biosboot
from images.agent.grubcfg import Kernel, command_line, embedded, find_kernel, menu, natural
from images.agent.rootfs import Root
from images.errors import BadInput, ImageError


def boot(tmp_path: Path, *names: str) -> Root:
    (tmp_path / "boot").mkdir()
    for name in names:
        (tmp_path / "boot" / name).write_bytes(b"x")
    return Root(tmp_path)


@pytest.mark.parametrize(
    ("names", "image", "initrd"),
    [
        (["vmlinuz-6.9.1-amd64", "vmlinuz-6.10.0-amd64", "initrd.img-6.10.0-amd64"],
         "vmlinuz-6.10.0-amd64", "initrd.img-6.10.0-amd64"),
        (["vmlinuz-5.14.0-1.el9", "initramfs-5.14.0-1.el9.img", "vmlinuz-0-rescue-abc"],
         "vmlinuz-5.14.0-1.el9", "initramfs-5.14.0-1.el9.img"),
        (["vmlinuz-6.4.0-default", "initrd-6.4.0-default"], "vmlinuz-6.4.0-default", "initrd-6.4.0-default"),
        (["vmlinuz-linux", "initramfs-linux.img"], "vmlinuz-linux", "initramfs-linux.img"),
        (["vmlinuz-lts", "initramfs-lts"], "vmlinuz-lts", "initramfs-lts"),
        (["vmlinuz-6.1.0", "vmlinuz-6.1.0.old"], "vmlinuz-6.1.0", None),
        (["vmlinuz"], "vmlinuz", None),
    ],
)  # fmt: skip
def test_finds_the_newest_kernel(tmp_path, names, image, initrd):
    kernel = find_kernel(boot(tmp_path, *names))
    assert (kernel.image, kernel.initrd) == (f"/boot/{image}", f"/boot/{initrd}" if initrd else None)


def test_no_kernel_is_said(tmp_path):
    with pytest.raises(BadInput, match="no kernel in /boot"):
        find_kernel(boot(tmp_path, "config-6.1"))


def test_versions_sort_as_people_mean_them():
    mixed = ["6.10.0", "6.9.12", "6.1~rc1", "6.1", "6.1-2"]
    assert sorted(mixed, key=natural) == ["6.1~rc1", "6.1", "6.1-2", "6.9.12", "6.10.0"]


def test_arguments_keep_the_images_and_add_consoles_only_when_there_are_none():
    own = "quiet console=tty0 console=ttyS0,115200n8 bootsrv.token=secret"
    assert (
        command_line("UUID=U", "ext4", "quiet", own)
        == "root=UUID=U ro quiet console=tty0 console=ttyS0,115200n8"
    )
    assert command_line("UUID=U", "ext4", "console=ttyS1", own) == "root=UUID=U ro console=ttyS1"
    assert "noresume" in command_line("UUID=U", "ext4", "", own, image_resume=True)
    assert "secret" not in command_line("UUID=U", "xfs", "", own)


def test_menu_is_a_script_that_grub_takes(tmp_path):
    kernel = Kernel("/boot/vmlinuz-6.1", "/boot/initrd.img-6.1", "6.1")
    text = menu("n1 (it's `$(rm)`@3)", "U-1", kernel, "root=UUID=U-1 ro x='a;b' console=ttyS0,9600")
    file = tmp_path / "grub.cfg"
    file.write_text(text)
    subprocess.run(["grub-script-check", str(file)], check=True)
    assert "serial --unit=0 --speed=9600" in text and "`" not in text
    assert "    initrd /boot/initrd.img-6.1" in text


def test_separate_boot_partition_drops_the_prefix():
    text = menu("t", "U", Kernel("/boot/vmlinuz", None, "1"), "ro", separate_boot=True)
    assert "    linux /vmlinuz ro" in text and "initrd" not in text
    assert "/boot/grub" in embedded("U") and "/boot/grub" not in embedded("U", True)


def test_master_record_keeps_the_partition_table():
    old = bytearray(range(256)) * 2
    image = bytearray(b"\x90" * 510 + b"\x55\xaa")
    made = biosboot.master_record(bytes(image), bytes(old), 0x1234567890)
    assert made[0x1B8:0x1FE] == bytes(old[0x1B8:0x1FE]) and made[0x1FE:] == b"\x55\xaa"
    assert int.from_bytes(made[0x5C:0x64], "little") == 0x1234567890
    assert made[3:0x5A] == bytes(old[3:0x5A]) and made[0x64] == 0xFF


def test_core_is_padded_and_points_at_its_second_sector():
    core = biosboot.embedded_core(b"c" * 1300, 2048, 1 << 20)
    assert len(core) == 3 * 512
    assert int.from_bytes(core[500:508], "little") == 2049
    assert int.from_bytes(core[508:510], "little") == 2
    assert core[510:512] == b"\x20\x08"


def test_core_that_does_not_fit_is_refused():
    with pytest.raises(BadInput, match="has 1024 bytes, the boot loader needs 1536"):
        biosboot.embedded_core(b"c" * 1300, 2048, 1024)
    with pytest.raises(ImageError):
        biosboot.master_record(b"x" * 512, bytes(512), 1)
