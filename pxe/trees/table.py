"""The table of layouts: where each distribution has its kernel and initial RAM disk, and what says its
version.

Pure. One row a layout, tried in order after `.treeinfo`; the names were taken from the media themselves.
`*` in a name stands for what the medium has there (an architecture, a flavour).
"""

from __future__ import annotations

from dataclasses import dataclass

from pxe.trees.facts import Installer


@dataclass(frozen=True, slots=True)
class Row:
    """One layout. It fits when `kernel`, one of `initrds` and all of `marks` are there.

    `initrds` are alternatives. `version`: which reader of `pxe.trees.reading` tells it. `arch`: which group
    of `*` in the kernel's name is the architecture, or the architecture itself.
    """

    family: str
    installer: Installer
    kernel: str
    initrds: tuple[str, ...]
    version: str
    arch: str = ""
    marks: tuple[str, ...] = ()
    root: str = ""
    medium: bool = False
    note: str = ""


_CD_INITRD = (
    "this initrd looks for its packages on a CD only; to install over the network import the netboot tree "
    "(bootsrv tree import debian-12 --name NAME)"
)

ROWS: tuple[Row, ...] = (
    # Ubuntu's live server and desktop: the initrd fetches the whole ISO by url=, and autoinstall runs in it.
    Row("ubuntu", Installer.AUTOINSTALL, "casper/vmlinuz",
        ("casper/initrd", "casper/initrd.gz", "casper/initrd.lz"), "disk-info", medium=True),
    Row("ubuntu", Installer.AUTOINSTALL, "casper/hwe-vmlinuz", ("casper/hwe-initrd",), "disk-info",
        medium=True),
    # Ubuntu until 20.04 had Debian's installer as well.
    Row("ubuntu", Installer.PRESEED, "ubuntu-installer/*/linux", ("ubuntu-installer/*/initrd.gz",),
        "version-info", arch="*"),
    Row("ubuntu", Installer.PRESEED, "install/netboot/ubuntu-installer/*/linux",
        ("install/netboot/ubuntu-installer/*/initrd.gz",), "disk-info", arch="*"),
    # Debian: netboot (the package, netboot.tar.gz, a mirror's directory), then CD and DVD, then live.
    Row("debian", Installer.PRESEED, "debian-installer/*/linux", ("debian-installer/*/initrd.gz",),
        "version-info", arch="*"),
    Row("debian", Installer.PRESEED, "install.amd/vmlinuz", ("install.amd/initrd.gz",), "disk-info", "x86_64",
        note=_CD_INITRD),
    Row("debian", Installer.PRESEED, "install.386/vmlinuz", ("install.386/initrd.gz",), "disk-info", "i386",
        note=_CD_INITRD),
    Row("debian", Installer.PRESEED, "install.a64/vmlinuz", ("install.a64/initrd.gz",), "disk-info",
        "aarch64", note=_CD_INITRD),
    Row("debian", Installer.NONE, "live/vmlinuz", ("live/initrd.img", "live/initrd"), "disk-info",
        root="live/filesystem.squashfs", note="a live system: boots, and installs nothing by itself"),
    # Fedora CoreOS and RHEL CoreOS: the live ISO, or the three files for PXE in one directory.
    Row("coreos", Installer.IGNITION, "images/pxeboot/vmlinuz", ("images/pxeboot/initrd.img",), "coreos",
        marks=("images/pxeboot/rootfs.img",), root="images/pxeboot/rootfs.img"),
    Row("coreos", Installer.IGNITION, "*-live-kernel-*", ("*-live-initramfs.*.img",), "coreos-name",
        root="*-live-rootfs.*.img"),
    Row("coreos", Installer.IGNITION, "*-live-kernel.*", ("*-live-initramfs.*.img",), "coreos-name",
        root="*-live-rootfs.*.img"),
    # SUSE: openSUSE Leap and Tumbleweed, SLES 9 on.
    Row("suse", Installer.AUTOYAST, "boot/*/loader/linux", ("boot/*/loader/initrd",), "suse", arch="*"),
    Row("suse", Installer.AUTOYAST, "boot/loader/linux", ("boot/loader/initrd",), "suse", arch="i386"),
    # Anaconda without .treeinfo: network install ISOs, and everything before Fedora 7 and RHEL 5.
    Row("redhat", Installer.KICKSTART, "images/pxeboot/vmlinuz", ("images/pxeboot/initrd.img",), "discinfo",
        root="images/install.img"),
    Row("redhat", Installer.KICKSTART, "isolinux/vmlinuz", ("isolinux/initrd.img",), "discinfo",
        marks=("RedHat/base/comps.xml",)),
    Row("redhat", Installer.KICKSTART, "dosutils/autoboot/vmlinuz", ("dosutils/autoboot/initrd.img",),
        "release-package"),
    Row("arch", Installer.NONE, "arch/boot/*/vmlinuz-linux", ("arch/boot/*/initramfs-linux.img",), "arch",
        arch="*", root="arch/x86_64/airootfs.sfs", note="Arch's installer takes no answer file"),
    Row("alpine", Installer.NONE, "boot/vmlinuz-lts", ("boot/initramfs-lts",), "alpine",
        root="boot/modloop-lts", marks=(".alpine-release",),
        note="Alpine's installer takes its answers from a script"),
    Row("alpine", Installer.NONE, "boot/vmlinuz-virt", ("boot/initramfs-virt",), "alpine",
        root="boot/modloop-virt", marks=(".alpine-release",),
        note="Alpine's installer takes its answers from a script"),
)  # fmt: skip
