"""Media for tests: a dictionary of names and texts."""

from __future__ import annotations

from collections.abc import Collection


class Media:
    """pxe.trees.facts.Medium of a dictionary."""

    def __init__(self, files: dict[str, str], *more: str) -> None:
        self._files = {**dict.fromkeys(more, ""), **files}

    @property
    def names(self) -> Collection[str]:
        return self._files.keys()

    def text(self, name: str) -> str:
        return self._files.get(name, "")


FEDORA = """\
[checksums]
images/boot.iso = sha256:aa
images/pxeboot/initrd.img = sha256:{initrd}
images/pxeboot/vmlinuz = sha256:{kernel}
repodata/repomd.xml = sha256:bb

[general]
arch = x86_64
family = Fedora
name = Fedora 41
packagedir = Packages
platforms = x86_64,xen
timestamp = 1729698096
variant = Server
version = 41

[header]
type = productmd.treeinfo
version = 1.2

[images-x86_64]
boot.iso = images/boot.iso
initrd = images/pxeboot/initrd.img
kernel = images/pxeboot/vmlinuz

[release]
name = Fedora
short = Fedora
version = 41

[stage2]
mainimage = images/install.img

[tree]
arch = x86_64
"""
RHEL5 = """\
[general]
family = Red Hat Enterprise Linux Server
timestamp = 1209596791.91
totaldiscs = 1
version = 5.2
discnum = 1
packagedir = Server
arch = i386

[images-i386]
kernel = images/pxeboot/vmlinuz
initrd = images/pxeboot/initrd.img
boot.iso = images/boot.iso
"""
ROCKY = FEDORA.replace("Fedora", "Rocky Linux").replace("41", "9.4")
LEAP = """\
[general]
name = openSUSE-Leap-15.6
family = openSUSE Leap
version = 15.6
arch = x86_64
[images-x86_64]
kernel = boot/x86_64/loader/linux
initrd = boot/x86_64/loader/initrd
"""
PXEBOOT = ("images/pxeboot/vmlinuz", "images/pxeboot/initrd.img")
