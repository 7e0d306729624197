"""What is known of an install tree: the distribution, what it boots, and which answer file it takes.

Pure. A medium is seen through `Medium`: its names, and the text of its small files.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class Installer(StrEnum):
    """The installer's answer file; the first three are `pxe.answers.targets.Dialect` by name."""

    KICKSTART = "kickstart"
    PRESEED = "preseed"
    AUTOINSTALL = "autoinstall"
    AUTOYAST = "autoyast"
    IGNITION = "ignition"
    NONE = ""  # a live system, or an installer that takes none


@dataclass(frozen=True, slots=True)
class TreeFacts:
    """One tree. All names are relative to it, without a leading slash.

    `target`: as `pxe.answers.targets.find_target` knows it, "" where it knows none. `arch` in the kernel's
    words: x86_64, i386, aarch64. `root`: the system that the initrd loads (stage2, squashfs, rootfs), ""
    where it finds it by itself. `medium`: the installer wants the ISO itself by URL. `note`: what a person
    must know.
    """

    family: str  # debian, ubuntu, fedora, rhel, rhl, suse, coreos, arch, alpine
    version: str
    arch: str
    title: str
    installer: Installer
    target: str
    kernel: str
    initrds: tuple[str, ...]
    root: str = ""
    medium: bool = False
    note: str = ""


class Medium(Protocol):
    """A medium or directory to look at."""

    @property
    def names(self) -> Collection[str]:
        """Of all its files, relative; looking one up must be fast."""

    def text(self, name: str) -> str:
        """The text of a small file, bytes that are not UTF-8 replaced; "" when there is none."""


ARCHES = {
    "amd64": "x86_64",
    "x86-64": "x86_64",
    "arm64": "aarch64",
    "i486": "i386",
    "i586": "i386",
    "i686": "i386",
}


def arch_of(text: str) -> str:
    """The kernel's word for an architecture."""
    return ARCHES.get(text.strip().lower(), text.strip().lower())
