"""Trees that Debian packages: `debian-12` is the netboot installer of Debian 12, fetched and verified by
apt."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from bootsrv.apt import AptRoom
from bootsrv.errors import BootsrvError, Invalid
from bootsrv.trees.media import Package
from images.mirror import host_mirrors, signed_suites, sources

SUITES = {"11": "bullseye", "12": "bookworm", "13": "trixie"}
ARCHES = ("amd64", "arm64", "i386", "armhf", "ppc64el")
_NAME = re.compile(r"debian-?(?P<number>\d+)(?:-(?P<arch>[a-z0-9]+))?\Z")


@dataclass(frozen=True, slots=True)
class Netboot:
    """One packaged installer."""

    number: str
    arch: str

    @property
    def package(self) -> str:
        return f"debian-installer-{self.number}-netboot-{self.arch}"

    @property
    def inside(self) -> str:
        """Where the package has it: the text installer, whose initrd is half the size of the graphical
        one's."""
        return f"usr/lib/debian-installer/images/{self.number}/{self.arch}/text"


def known(name: str) -> Netboot | None:
    """What NAME stands for; None when it is no such name. Raises Invalid for a Debian that there is not."""
    found = _NAME.match(name)
    if found is None:
        return None
    made = Netboot(found["number"], found["arch"] or "amd64")
    if made.number not in SUITES or made.arch not in ARCHES:
        raise Invalid(
            f"{name}: there is no such netboot installer; there are debian-{', debian-'.join(SUITES)}, and "
            f"for other machines debian-12-ARCH with {', '.join(ARCHES[1:])}"
        )
    return made


@contextmanager
def fetched(netboot: Netboot) -> Iterator[tuple[Package, str]]:
    """The package as a medium, and what it is in words. Raises BootsrvError, Invalid."""
    suite = SUITES[netboot.number]
    if not signed_suites([suite]):
        raise Invalid(f"this host has no key for {suite}; update debian-archive-keyring")
    with AptRoom(sources(suite, host_mirrors())) as apt:
        apt.update()
        debs = sorted(apt.download([netboot.package]).glob("*.deb"))
        if len(debs) != 1:
            raise BootsrvError(f"apt fetched {len(debs)} files for {netboot.package}, expected one")
        yield Package(debs[0], netboot.inside), f"Debian package {debs[0].name.removesuffix('.deb')}"
