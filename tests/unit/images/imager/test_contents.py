"""What goes into the imager: lists, libraries followed, modules with what they need, mirrors."""

import lzma

import pytest

from images.errors import BadInput
from images.imager import contents, modules
from images.imager.build import inputs_hash, read_manifest
from images.mirror import Mirrors, parse_targets, signed_suites, sources


@pytest.fixture(scope="module")
def lists():
    return contents.load()


def test_lists_are_readable_and_name_what_the_agent_runs(lists):
    keep = contents.compile_globs(lists.keep)
    for program in (
        "sfdisk",
        "mkfs.ext4",
        "mkfs.xfs",
        "mkfs.vfat",
        "mkswap",
        "e2fsck",
        "xfs_repair",
        "kexec",
    ):
        assert keep.fullmatch(f"usr/sbin/{program}"), program
    for program in ("busybox", "udevadm", "grub-mkimage", "mount", "umount", "python3.13"):
        assert keep.fullmatch(f"usr/bin/{program}"), program
    assert {"udhcpc", "sh"} <= set(lists.applets)


def test_common_drivers_are_kept_and_hot(lists):
    names = [
        "kernel/drivers/net/virtio_net.ko.xz", "kernel/drivers/ata/ahci.ko.xz", "kernel/fs/ext4/ext4.ko.xz",
        "kernel/drivers/nvme/host/nvme.ko.xz", "kernel/sound/pci/snd.ko.xz",
        "kernel/drivers/net/wireless/ath.ko.xz",
        "kernel/drivers/scsi/megaraid/megaraid_sas.ko.xz", "kernel/fs/mbcache.ko.xz",
    ]  # fmt: skip
    needs = {"kernel/fs/ext4/ext4.ko.xz": ("kernel/fs/mbcache.ko.xz",)}
    chosen = {c.path: c.hot for c in modules.choose(names, needs, lists)}
    assert chosen["kernel/drivers/net/virtio_net.ko.xz"] and chosen["kernel/fs/ext4/ext4.ko.xz"]
    assert chosen["kernel/drivers/scsi/megaraid/megaraid_sas.ko.xz"] is False
    assert "kernel/fs/mbcache.ko.xz" in chosen  # in no list: somebody needs it
    assert not any("sound" in path or "wireless" in path for path in chosen)


def test_hot_modules_are_unpacked(tmp_path, lists):
    source = tmp_path / "root/usr/lib/modules/6.1"
    (source / "kernel/fs/ext4").mkdir(parents=True)
    (source / "kernel/fs/btrfs").mkdir()
    (source / "kernel/fs/ext4/ext4.ko.xz").write_bytes(lzma.compress(b"elf"))
    (source / "kernel/fs/btrfs/btrfs.ko.xz").write_bytes(b"packed")
    (source / "modules.dep").write_text("kernel/fs/ext4/ext4.ko.xz:\nkernel/fs/btrfs/btrfs.ko.xz:\n")
    for name in ("modules.builtin", "modules.builtin.modinfo", "modules.order"):
        (source / name).write_text("")
    assert modules.stage(tmp_path / "root", tmp_path / "out", "6.1", lists) == 2
    assert (tmp_path / "out/kernel/fs/ext4/ext4.ko").read_bytes() == b"elf"
    assert (tmp_path / "out/kernel/fs/btrfs/btrfs.ko.xz").read_bytes() == b"packed"
    assert modules.kernel_version(tmp_path / "root") == "6.1"


def test_no_kernel_is_said(tmp_path):
    with pytest.raises(BadInput, match="expected one kernel, found none"):
        modules.kernel_version(tmp_path)


def test_a_pattern_that_keeps_nothing_fails_the_build(tmp_path, lists):
    (tmp_path / "usr").mkdir()
    with pytest.raises(BadInput, match="no package holds"):
        contents.select(tmp_path, lists)


def test_a_missing_library_fails_the_build(tmp_path):
    with pytest.raises(BadInput, match=r"usr/bin/x needs libnone\.so\.1, which is in none"):
        contents._find_library(tmp_path, "libnone.so.1", "usr/bin/x")


def test_links_bring_their_targets(tmp_path):
    (tmp_path / "usr/lib").mkdir(parents=True)
    (tmp_path / "usr/lib/libx.so.1.2").write_bytes(b"")
    (tmp_path / "usr/lib/libx.so.1").symlink_to("libx.so.1.2")
    (tmp_path / "usr/lib/away").symlink_to("/etc/passwd")
    found = contents._with_libraries(tmp_path, {"usr/lib/libx.so.1", "usr/lib/away"})
    assert found == {"usr/lib/libx.so.1", "usr/lib/libx.so.1.2", "usr/lib/away"}


def test_inputs_name_the_suite_and_manifest_survives_damage(tmp_path):
    assert inputs_hash("a") != inputs_hash("b") and inputs_hash("a") == inputs_hash("a")
    assert read_manifest(tmp_path) == {}
    (tmp_path / "manifest.json").write_text("{half")
    assert read_manifest(tmp_path) == {}


def test_mirrors_are_the_hosts_own():
    lines = [
        "Other|Other|main|http://other.test/", "Debian|Debian|main|http://mirror.test/debian/",
        "Debian|Debian|contrib|http://wrong.test/", "Debian-Security|Debian|main|http://mirror.test/security/",
        "junk",
    ]  # fmt: skip
    found = parse_targets(lines)
    assert found == Mirrors("http://mirror.test/debian/", "http://mirror.test/security/")
    assert sources("trixie", found) == [
        "deb http://mirror.test/debian/ trixie main", "deb http://mirror.test/security/ trixie-security main",
    ]  # fmt: skip
    with pytest.raises(BadInput, match="no Debian source"):
        parse_targets([])


def test_only_suites_with_a_key(tmp_path):
    (tmp_path / "debian-archive-bookworm-stable.gpg").write_bytes(b"")
    assert signed_suites(["trixie", "bookworm"], tmp_path) == ["bookworm"]
