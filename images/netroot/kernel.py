"""Which kernel of an image a machine without a disk starts, and where it lies. Pure.

Debian and Ubuntu have it as /boot/vmlinuz-VERSION, Fedora and its kin as /usr/lib/modules/VERSION/vmlinuz as
well, and some have /lib apart from /usr/lib. The law: only a kernel whose modules are in the image counts.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from images.agent.grubcfg import natural
from images.errors import BadInput

MODULES = ("usr/lib/modules", "lib/modules")
FOLDERS = ("boot", *MODULES, "usr/lib/firmware", "lib/firmware")  # all that has to be looked at


@dataclass(frozen=True, slots=True)
class Kernel:
    """Paths without leading slash: the kernel, and its directory of modules."""

    version: str
    image: str
    modules: str

    @property
    def number(self) -> tuple[int, int]:
        """Major and minor, such as (6, 1)."""
        major, _, rest = self.version.partition(".")
        minor = rest.partition(".")[0].partition("-")[0]
        return int(major) if major.isdecimal() else 0, int(minor) if minor.isdecimal() else 0


def find(names: Iterable[str]) -> Kernel:
    """The newest kernel among the files of an image. Raises BadInput when there is none with its modules."""
    there = set(names)
    folders = {}  # version -> its directory
    for root in reversed(MODULES):
        for name in there:
            rest = name[len(root) + 1 :] if name.startswith(f"{root}/") else ""
            if "/kernel/" in rest or rest.endswith("/modules.builtin"):
                version = rest.partition("/")[0]
                folders[version] = f"{root}/{version}"
    found = [
        Kernel(version, image, folder)
        for version, folder in folders.items()
        for image in (f"boot/vmlinuz-{version}", f"{folder}/vmlinuz", f"boot/kernel-{version}")
        if image in there
    ]
    if not found:
        what = "it has modules, but no kernel of theirs" if folders else "there are no kernel's modules in it"
        raise BadInput(f"no machine can boot it diskless: {what} (in Debian the package linux-image-amd64)")
    newest = max(natural(kernel.version) for kernel in found)
    return next(kernel for kernel in found if natural(kernel.version) == newest)
