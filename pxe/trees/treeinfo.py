"""`.treeinfo`: how the Fedora and Red Hat family (and openSUSE for virt-install) describe a tree. Pure.

Two ages of one INI file: [general] family, version, arch (Red Hat Enterprise Linux 5 and Fedora 7 on), and
productmd's [release] and [tree] (1.0 and later), which usually repeats [general].
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from configparser import ConfigParser, Error
from dataclasses import dataclass

from pxe.trees.facts import Installer, Medium, TreeFacts, arch_of
from pxe.trees.sums import Sum

NAMES = (".treeinfo", "treeinfo")
_RHEL = re.compile(
    r"red hat enterprise|centos|rocky|alma|oracle|scientific|eurolinux|springdale|miracle", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class TreeInfo:
    """One parsed file."""

    family: str
    version: str
    arch: str
    kernel: str
    initrd: str
    root: str
    sums: tuple[Sum, ...]


def find(medium: Medium) -> TreeInfo | None:
    """The medium's `.treeinfo`; None when there is none, or none that can be read."""
    name = next((name for name in NAMES if name in medium.names), None)
    return parse(medium.text(name)) if name is not None else None


def parse(text: str) -> TreeInfo | None:
    """The file's meaning; None when it names no kernel."""
    ini = ConfigParser(interpolation=None, strict=False)
    ini.optionxform = str  # type: ignore[assignment, method-assign] # names of files keep their case
    try:
        ini.read_string(text)
    except Error:
        return None
    arch = _get(ini, "tree", "arch") or _get(ini, "general", "arch")
    images = f"images-{arch}"
    kernel = _get(ini, images, "kernel")
    if not arch or not kernel:
        return None
    family = _get(ini, "release", "name") or _get(ini, "general", "family")
    version = _get(ini, "release", "version") or _get(ini, "general", "version")
    root = _get(ini, "stage2", "mainimage") or _get(ini, images, "stage2")
    initrd = _get(ini, images, "initrd")
    return TreeInfo(family, version, arch_of(arch), kernel, initrd, root, tuple(_sums(ini)))


def _get(ini: ConfigParser, section: str, key: str) -> str:
    return ini.get(section, key, fallback="").strip()


def _sums(ini: ConfigParser) -> Iterator[Sum]:
    for name, value in ini.items("checksums") if ini.has_section("checksums") else ():
        kind, _, digest = value.strip().partition(":")
        yield Sum(name.strip(), kind.strip().lower(), digest.strip().lower())


def facts(medium: Medium) -> TreeFacts | None:
    """The tree that `.treeinfo` describes; None when its kernel is not there or it is somebody else's."""
    info = find(medium)
    if info is None or info.kernel not in medium.names:
        return None
    initrds = (info.initrd,) if info.initrd in medium.names else ()
    title = f"{info.family} {info.version}".strip()
    root = info.root if info.root in medium.names else ""
    major = info.version.partition(".")[0]
    if "suse" in info.family.lower() or info.family.startswith("SLE"):
        kind = ("suse", Installer.AUTOYAST, "")
    elif "coreos" in info.family.lower():
        kind = ("coreos", Installer.IGNITION, "")
    elif _RHEL.search(info.family):
        kind = ("rhel", Installer.KICKSTART, f"rhel{major}")
    elif info.family.lower().startswith("fedora"):
        kind = ("fedora", Installer.KICKSTART, f"fedora{major}" if major.isdecimal() else "")
    else:
        return None
    family, installer, target = kind
    return TreeFacts(family, info.version, info.arch, title, installer, target, info.kernel, initrds, root)
