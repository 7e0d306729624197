"""What says a medium's version: one small reader for each kind of file. Pure.

A reader gives family (where the layout leaves it open), version, architecture and title; what it cannot tell
is "".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from pxe.trees.facts import Medium, arch_of


@dataclass(frozen=True, slots=True)
class Said:
    """What a medium says of itself."""

    version: str = ""
    arch: str = ""
    title: str = ""
    family: str = ""


# Ubuntu-Server 22.04.4 LTS "Jammy Jellyfish" - Release amd64 (20240216.1)
# Debian GNU/Linux 12.5.0 "Bookworm" - Official amd64 NETINST with firmware 20240210-11:27
_DISK_INFO = re.compile(r'^(?P<name>[A-Za-z/ -]*?)[- ](?P<version>\d+[\d.]*)[^"]*"[^"]*"(?P<rest>.*)$')
_ARCH = re.compile(r"\b(amd64|i386|arm64|armhf|ppc64el|s390x|riscv64|multi-arch)\b")
_MENU = re.compile(r"Install (?P<name>[A-Za-z][A-Za-z ]+?) (?P<version>\d+(?:\.\d+)*)\b")
_RELEASE = re.compile(
    r"(?:^|/)(?P<name>redhat|fedora|centos|centos-linux|centos-stream|rocky|almalinux|oraclelinux|sl)-release"
    r"(?:-(?:as|es|ws|desktop|server|client|\d+(?:AS|ES|WS|Server|Client)))?"
    r"-(?P<version>\d+(?:\.\d+)?)[^/]*\.rpm\Z"
)
_COREOS = re.compile(r"(?:^|/)(?P<name>[a-z]+-coreos|scos|rhcos)-(?P<version>\d[\d.]*?)-live-")


def disk_info(medium: Medium) -> Said:
    """Debian's and Ubuntu's `.disk/info`."""
    lines = medium.text(".disk/info").splitlines()
    found = _DISK_INFO.match(lines[0]) if lines else None
    if found is None:
        return Said()
    arch = _ARCH.search(found["rest"])
    family = "ubuntu" if "ubuntu" in found["name"].lower() else "debian"
    title = f"{found['name'].replace('-', ' ')} {found['version']}"
    return Said(found["version"], arch_of(arch[1]) if arch else "", title, family)


def version_info(medium: Medium) -> Said:
    """`version.info` of Debian's netboot images: `Debian version:  12 (bookworm)`."""
    found = re.search(r"(Debian|Ubuntu) version:\s*(\d[\d.]*)(?:\s*\((\w+)\))?", medium.text("version.info"))
    if found is None:
        return Said(title="Debian")
    return Said(found[2], "", f"{found[1]} {found[2]}{f' ({found[3]})' if found[3] else ''}")


def discinfo(medium: Medium) -> Said:
    """`.discinfo`: time, name or version, architecture, a line each; since Fedora 20 often the version alone,
    and the name is in the boot menu."""
    lines = [line.strip() for line in medium.text(".discinfo").splitlines()]
    title, arch = (lines[1], arch_of(lines[2])) if len(lines) >= 3 else ("", "")
    if re.fullmatch(r"[\d.]*", title):
        menu = next((medium.text(name) for name in _MENUS if name in medium.names), "")
        found = _MENU.search(menu)
        if found is None:
            packaged = release_package(medium)
            return replace(packaged, arch=arch or packaged.arch)
        title = f"{found['name']} {found['version']}"
    version = re.search(r"(\d+(?:\.\d+)*)", title)
    return Said(version[1] if version else "", arch, title, _red_hat(title))


_MENUS = ("EFI/BOOT/grub.cfg", "boot/grub2/grub.cfg", "isolinux/isolinux.cfg")


def release_package(medium: Medium) -> Said:
    """The package that says which release it is, by its file's name: all that Red Hat Linux 7.2 has."""
    for name in medium.names:
        if found := _RELEASE.search(name):
            title = {"redhat": "Red Hat Linux"}.get(found["name"], found["name"].title())
            enterprise = found["name"] == "redhat" and ("EL" in name or re.search(r"\d(AS|ES|WS)-", name))
            if enterprise or (found["name"] == "redhat" and "Server/" in name):
                title = "Red Hat Enterprise Linux"
            arch = "i386" if any(one.endswith(".i386.rpm") for one in medium.names) else "x86_64"
            return Said(found["version"], arch, f"{title} {found['version']}", _red_hat(title))
    return Said()


def _red_hat(title: str) -> str:
    lower = title.lower()
    if lower.startswith("fedora"):
        return "fedora"
    if re.match(r"red hat linux", lower):
        return "rhl"
    return "rhel"


def suse(medium: Medium) -> Said:
    """`media.1/products` (`/ openSUSE-Leap 15.6-1`), before that the file `content`."""
    found = re.search(r"^\S*\s+(\S+)\s+(\d[\d.]*)", medium.text("media.1/products"), re.MULTILINE)
    if found:
        return Said(found[2], "", f"{found[1].replace('-', ' ')} {found[2]}")
    content = medium.text("content")
    name = re.search(r"^(?:DISTRO|LABEL|NAME)\s+(.+)$", content, re.MULTILINE)
    version = re.search(r"^VERSION\s+(\d[\d.]*)", content, re.MULTILINE)
    inside = re.search(r"(\d+(?:\.\d+)?)", name[1]) if name else None
    number = version[1] if version else inside[1] if inside else ""
    return Said(number, "", name[1].strip() if name else "SUSE")


def coreos(medium: Medium) -> Said:
    """The volume's menu names the build: `Fedora CoreOS (Live)` with
    `coreos.liveiso=fedora-coreos-40.2024...`."""
    for name in (*_MENUS, "coreos/kargs.json", "EFI/fedora/grub.cfg"):
        found = re.search(r"((?:fedora-coreos|rhcos|scos)-(\d[\d.]*\d))", medium.text(name))
        if found:
            return Said(found[2], "x86_64", f"CoreOS {found[2]}")
    return Said("", "x86_64", "CoreOS")


def coreos_name(medium: Medium) -> Said:
    """The files for PXE have the build in their names."""
    for name in medium.names:
        if found := _COREOS.search(name):
            arch = re.search(r"(x86_64|aarch64|ppc64le|s390x)", name)
            return Said(found["version"], arch[1] if arch else "", f"{found['name']} {found['version']}")
    return Said()


def arch_linux(medium: Medium) -> Said:
    """`arch/version`: the month."""
    version = medium.text("arch/version").strip()
    return Said(version, "", f"Arch Linux {version}".strip())


def alpine(medium: Medium) -> Said:
    """`.alpine-release`: `alpine-virt 3.20.1 240622`."""
    found = re.search(r"(\d+\.\d+[\d.]*)", medium.text(".alpine-release"))
    return Said(found[1] if found else "", "x86_64", f"Alpine Linux {found[1]}" if found else "Alpine Linux")


READERS: Mapping[str, Callable[[Medium], Said]] = {
    "disk-info": disk_info,
    "version-info": version_info,
    "discinfo": discinfo,
    "release-package": release_package,
    "suse": suse,
    "coreos": coreos,
    "coreos-name": coreos_name,
    "arch": arch_linux,
    "alpine": alpine,
}
