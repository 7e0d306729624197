"""Every family's layout is recognised by what is on its media, and nothing else is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tree_house import FEDORA, LEAP, PXEBOOT, RHEL5, ROCKY, Media

from pxe.answers.targets import find_target
from pxe.trees import sums, treeinfo
from pxe.trees.detect import detect

NETBOOT = "Debian version:  12 (bookworm)\nInstaller build: 20230607+deb12u15\n"
CASES = {
    "Fedora": (
        Media({".treeinfo": FEDORA}, *PXEBOOT, "images/install.img"),
        ("fedora", "41", "x86_64", "kickstart", "fedora41", PXEBOOT[0], PXEBOOT[1:], "images/install.img"),
    ),
    "Rocky Linux": (
        Media({".treeinfo": ROCKY}, *PXEBOOT, "images/install.img"),
        ("rhel", "9.4", "x86_64", "kickstart", "rhel9", PXEBOOT[0], PXEBOOT[1:], "images/install.img"),
    ),
    "RHEL 5": (
        Media({".treeinfo": RHEL5}, *PXEBOOT),
        ("rhel", "5.2", "i386", "kickstart", "rhel5", PXEBOOT[0], PXEBOOT[1:], ""),
    ),
    "a mirror without dotfiles": (
        Media({"treeinfo": FEDORA}, *PXEBOOT),
        ("fedora", "41", "x86_64", "kickstart", "fedora41", PXEBOOT[0], PXEBOOT[1:], ""),
    ),
    "Fedora network install": (
        Media(
            {
                ".discinfo": "1729698096.1\n41\nx86_64\n",
                "EFI/BOOT/grub.cfg": "menuentry 'Install Fedora 41' {",
            },
            *PXEBOOT,
            "images/install.img",
        ),
        ("fedora", "41", "x86_64", "kickstart", "fedora41", PXEBOOT[0], PXEBOOT[1:], "images/install.img"),
    ),
    "Fedora Core 3": (
        Media({".discinfo": "1099322399.09\nFedora Core 3\ni386\n1,2,3,4\n"}, *PXEBOOT),
        ("fedora", "3", "i386", "kickstart", "fedora3", PXEBOOT[0], PXEBOOT[1:], ""),
    ),
    "RHEL 3": (
        Media({".discinfo": "1062790752.1\nRed Hat Enterprise Linux 3\ni386\n1\n"}, *PXEBOOT),
        ("rhel", "3", "i386", "kickstart", "rhel3", PXEBOOT[0], PXEBOOT[1:], ""),
    ),
    "Red Hat Linux 9": (
        Media({".discinfo": "1047580880.0\nRed Hat Linux 9\ni386\n1,2,3\n"}, *PXEBOOT),
        ("rhl", "9", "i386", "kickstart", "rhl9", PXEBOOT[0], PXEBOOT[1:], ""),
    ),
    "Red Hat Linux 7.2": (
        Media(
            {},
            "RedHat/RPMS/redhat-release-7.2-1.noarch.rpm",
            "RedHat/RPMS/bash-2.05-8.i386.rpm",
            "dosutils/autoboot/vmlinuz",
            "dosutils/autoboot/initrd.img",
        ),
        (
            "rhl",
            "7.2",
            "i386",
            "kickstart",
            "rhl7.2",
            "dosutils/autoboot/vmlinuz",
            ("dosutils/autoboot/initrd.img",),
            "",
        ),
    ),
    "Debian netboot": (
        Media({"version.info": NETBOOT}, "debian-installer/amd64/linux", "debian-installer/amd64/initrd.gz"),
        (
            "debian",
            "12",
            "x86_64",
            "preseed",
            "debian12",
            "debian-installer/amd64/linux",
            ("debian-installer/amd64/initrd.gz",),
            "",
        ),
    ),
    "Debian netboot for ARM": (
        Media(
            {"version.info": NETBOOT.replace("12", "13")},
            "debian-installer/arm64/linux",
            "debian-installer/arm64/initrd.gz",
        ),
        (
            "debian",
            "13",
            "aarch64",
            "preseed",
            "debian13",
            "debian-installer/arm64/linux",
            ("debian-installer/arm64/initrd.gz",),
            "",
        ),
    ),
    "Debian CD": (
        Media(
            {".disk/info": 'Debian GNU/Linux 12.5.0 "Bookworm" - Official amd64 NETINST 2024'},
            "install.amd/vmlinuz",
            "install.amd/initrd.gz",
        ),
        (
            "debian",
            "12.5.0",
            "x86_64",
            "preseed",
            "debian12",
            "install.amd/vmlinuz",
            ("install.amd/initrd.gz",),
            "",
        ),
    ),
    "Debian live": (
        Media(
            {".disk/info": 'Debian GNU/Linux 12.5.0 "Bookworm" - Official amd64 LIVE/INSTALL Binary 2024'},
            "live/vmlinuz",
            "live/initrd.img",
            "live/filesystem.squashfs",
        ),
        (
            "debian",
            "12.5.0",
            "x86_64",
            "",
            "",
            "live/vmlinuz",
            ("live/initrd.img",),
            "live/filesystem.squashfs",
        ),
    ),
    "Ubuntu server": (
        Media(
            {".disk/info": 'Ubuntu-Server 24.04.1 LTS "Noble Numbat" - Release amd64 (20240827)'},
            "casper/vmlinuz",
            "casper/initrd",
        ),
        (
            "ubuntu",
            "24.04.1",
            "x86_64",
            "autoinstall",
            "ubuntu24.04",
            "casper/vmlinuz",
            ("casper/initrd",),
            "",
        ),
    ),
    "Ubuntu 18.04 alternate": (
        Media(
            {".disk/info": 'Ubuntu-Server 18.04.6 LTS "Bionic Beaver" - Release amd64'},
            "install/netboot/ubuntu-installer/amd64/linux",
            "install/netboot/ubuntu-installer/amd64/initrd.gz",
        ),
        (
            "ubuntu",
            "18.04.6",
            "x86_64",
            "preseed",
            "",
            "install/netboot/ubuntu-installer/amd64/linux",
            ("install/netboot/ubuntu-installer/amd64/initrd.gz",),
            "",
        ),
    ),
    "openSUSE Leap": (
        Media(
            {"media.1/products": "/ openSUSE-Leap 15.6-1\n"},
            "boot/x86_64/loader/linux",
            "boot/x86_64/loader/initrd",
        ),
        (
            "suse",
            "15.6",
            "x86_64",
            "autoyast",
            "",
            "boot/x86_64/loader/linux",
            ("boot/x86_64/loader/initrd",),
            "",
        ),
    ),
    "openSUSE with .treeinfo": (
        Media({".treeinfo": LEAP}, "boot/x86_64/loader/linux", "boot/x86_64/loader/initrd"),
        (
            "suse",
            "15.6",
            "x86_64",
            "autoyast",
            "",
            "boot/x86_64/loader/linux",
            ("boot/x86_64/loader/initrd",),
            "",
        ),
    ),
    "SLES 11": (
        Media(
            {
                "content": "DISTRO cpe:/o:suse:sles:11:sp4\nLABEL SUSE Linux Enterprise Server 11\n"
                "VERSION 11.4-1.109\n"
            },
            "boot/i386/loader/linux",
            "boot/i386/loader/initrd",
        ),
        ("suse", "11.4", "i386", "autoyast", "", "boot/i386/loader/linux", ("boot/i386/loader/initrd",), ""),
    ),
    "Fedora CoreOS ISO": (
        Media(
            {"EFI/fedora/grub.cfg": "linux /images/pxeboot/vmlinuz fedora-coreos-40.20240906.3.0"},
            *PXEBOOT,
            "images/pxeboot/rootfs.img",
        ),
        (
            "coreos",
            "40.20240906.3.0",
            "x86_64",
            "ignition",
            "",
            PXEBOOT[0],
            PXEBOOT[1:],
            "images/pxeboot/rootfs.img",
        ),
    ),
    "Fedora CoreOS for PXE": (
        Media(
            {},
            "fedora-coreos-40.20240906.3.0-live-kernel-x86_64",
            "fedora-coreos-40.20240906.3.0-live-initramfs.x86_64.img",
            "fedora-coreos-40.20240906.3.0-live-rootfs.x86_64.img",
        ),
        (
            "coreos",
            "40.20240906.3.0",
            "x86_64",
            "ignition",
            "",
            "fedora-coreos-40.20240906.3.0-live-kernel-x86_64",
            ("fedora-coreos-40.20240906.3.0-live-initramfs.x86_64.img",),
            "fedora-coreos-40.20240906.3.0-live-rootfs.x86_64.img",
        ),
    ),
    "Arch Linux": (
        Media(
            {"arch/version": "2024.11.01\n"},
            "arch/boot/x86_64/vmlinuz-linux",
            "arch/boot/x86_64/initramfs-linux.img",
            "arch/x86_64/airootfs.sfs",
        ),
        (
            "arch",
            "2024.11.01",
            "x86_64",
            "",
            "",
            "arch/boot/x86_64/vmlinuz-linux",
            ("arch/boot/x86_64/initramfs-linux.img",),
            "arch/x86_64/airootfs.sfs",
        ),
    ),
    "Alpine": (
        Media(
            {".alpine-release": "alpine-lts 3.20.3 240906\n"},
            "boot/vmlinuz-lts",
            "boot/initramfs-lts",
            "boot/modloop-lts",
        ),
        (
            "alpine",
            "3.20.3",
            "x86_64",
            "",
            "",
            "boot/vmlinuz-lts",
            ("boot/initramfs-lts",),
            "boot/modloop-lts",
        ),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_each_family(case: str) -> None:
    medium, expected = CASES[case]
    found = detect(medium)
    assert found is not None
    assert (
        found.family, found.version, found.arch, str(found.installer), found.target, found.kernel,
        found.initrds, found.root,
    ) == expected  # fmt: skip
    assert found.title
    if found.target:
        assert find_target(found.target).dialect.value == found.installer.value


def test_only_ubuntu_live_wants_the_whole_iso() -> None:
    whole = {case for case, (medium, _) in CASES.items() if (found := detect(medium)) and found.medium}
    assert whole == {"Ubuntu server"}


def test_a_cd_says_that_it_installs_from_cd_only() -> None:
    found = detect(CASES["Debian CD"][0])
    assert found is not None
    assert "CD only" in found.note


@pytest.mark.parametrize(
    "medium",
    [
        Media({}),
        Media({}, "vmlinuz", "initrd.img"),
        Media({".treeinfo": FEDORA}),
        Media({".treeinfo": "[general"}, "a"),
        Media({".disk/info": 'Ubuntu 24.04 "N" - Release amd64'}, "casper/vmlinuz"),
        Media({}, "images/pxeboot/rootfs.img"),
    ],
)
def test_what_is_no_medium_is_none(medium: Media) -> None:
    assert detect(medium) is None


FILES = st.sampled_from(
    [".treeinfo", ".discinfo", ".disk/info", "version.info", "media.1/products", "content", "arch/version",
     ".alpine-release", *PXEBOOT, "casper/vmlinuz", "casper/initrd", "debian-installer/amd64/linux",
     "debian-installer/amd64/initrd.gz", "boot/x86_64/loader/linux", "boot/x86_64/loader/initrd"]
)  # fmt: skip


@given(st.dictionaries(FILES, st.text(max_size=200) | st.sampled_from([FEDORA, RHEL5, LEAP, NETBOOT])))
def test_no_medium_breaks_it(files: dict[str, str]) -> None:
    found = detect(Media(files))
    if found is not None:
        assert found.kernel in files
        assert all(name in files for name in found.initrds)


def test_checksums_of_treeinfo() -> None:
    info = treeinfo.parse(FEDORA)
    assert info is not None
    assert sums.Sum("images/pxeboot/vmlinuz", "sha256", "{kernel}") in info.sums


def test_lists_of_checksums() -> None:
    names = ["md5sum.txt", "SHA256SUMS", "images/netboot/SHA256SUMS", "a/b/c/d/SHA256SUMS", "pool/x.deb"]
    assert sums.lists(names) == ["SHA256SUMS", "images/netboot/SHA256SUMS", "md5sum.txt"]
    text = f"{'a' * 32}  ./pool/x y.deb\n{'B' * 64} *linux\n-\n{'c' * 40}  ../../etc/passwd\n"
    text += f"{'d' * 33}  odd\n"
    assert list(sums.parse(text)) == [
        sums.Sum("pool/x y.deb", "md5", "a" * 32),
        sums.Sum("linux", "sha256", "b" * 64),
    ]
    assert [one.name for one in sums.parse(text, "images/netboot")] == [
        "images/netboot/pool/x y.deb", "images/netboot/linux", "etc/passwd",
    ]  # fmt: skip


@given(st.text(max_size=300))
def test_any_text_is_a_list(text: str) -> None:
    for one in sums.parse(text, "a"):
        assert not one.name.startswith(("/", ".."))
