"""What a capture leaves out. Two lists travel with the image: this one, and the one that updates obey.

A pattern is a shell pattern on "/path/in/tree"; `*` crosses slashes. `files:PATTERN` leaves out everything
but directories, so that a service still finds the directory of its logs. Python 3.8, standard library only.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable
from typing import List, Pattern, Sequence

from images.octal import plain
from images.patterns import Idle

FILES = "files:"
RUNTIME = (
    "/proc/*", "/sys/*", "/dev/*", "/run/*", "/tmp/*", "/var/tmp/*", "/mnt/*", "/media/*", "/lost+found",  # noqa: S108
    "*/lost+found", "files:/var/run/*", "files:/var/lock/*",
)  # fmt: skip
CACHES = (
    "/var/cache/apt/archives/*.deb", "/var/cache/apt/archives/partial/*", "/var/cache/apt/*.bin",
    "files:/var/cache/dnf/*", "files:/var/cache/yum/*", "files:/var/cache/zypp/*", "files:/var/cache/man/*",
    "files:/var/cache/PackageKit/*", "files:/root/.cache/*", "files:/home/*/.cache/*",
)  # fmt: skip
LOGS = ("files:/var/log/*", "files:/var/crash/*", "/var/lib/systemd/coredump/*")
SWAP = ("/swapfile", "/swap.img", "/swap/*")
# What is one machine's own, and made anew on each: keys, ids, leases, names of cards, our own report unit.
IDENTITY = (
    "/etc/ssh/ssh_host_*", "/etc/machine-id", "/var/lib/dbus/machine-id", "/var/lib/systemd/random-seed",
    "/var/lib/systemd/credential.secret", "/var/lib/urandom/random-seed", "files:/var/lib/dhcp/*",
    "files:/var/lib/dhcpcd/*", "files:/var/lib/dhclient/*", "/var/lib/NetworkManager/*.lease",
    "/var/lib/NetworkManager/secret_key", "/var/lib/NetworkManager/timestamps",
    "/etc/udev/rules.d/70-persistent-*.rules", "/etc/bootsrv", "/etc/bootsrv/*", "/usr/local/lib/bootsrv",
    "/usr/local/lib/bootsrv/*", "/var/lib/bootsrv", "/var/lib/bootsrv/*", "/etc/systemd/system/bootsrv-*",
    "/etc/systemd/system/*.wants/bootsrv-*", "/etc/local.d/bootsrv.start",
)  # fmt: skip
DEFAULT = (*RUNTIME, *CACHES, *LOGS, *SWAP, *IDENTITY)


class Excludes:
    """`whole` are patterns for the walk, which tells `left_out`; `drops` says whether a name that is no
    directory is left out. `added`: those of the patterns of which it is to be known whether they matched.
    """

    def __init__(self, patterns: Iterable[str], added: Sequence[str] = ()) -> None:
        self.patterns: List[str] = list(dict.fromkeys(patterns))
        self.whole = [each for each in self.patterns if not each.startswith(FILES)]
        files = [each[len(FILES) :] for each in self.patterns if each.startswith(FILES)]
        self._files: Pattern[str] = re.compile("|".join(map(fnmatch.translate, files)) or r"(?!)")
        self._idle = Idle(each for each in added if not each.startswith(FILES))
        self._idle_files = Idle((each for each in added if each.startswith(FILES)), FILES)
        self.left_out = self._idle.heard

    @property
    def idle(self) -> List[str]:
        """Those of `added` that have matched nothing."""
        return [*self._idle.left, *self._idle_files.left]

    def drops(self, path: bytes, kind: str) -> bool:
        """Whether this name (as in a manifest) is left out although the walk came by."""
        if kind == "dir":
            return False
        name = "/" + path.decode("utf-8", "surrogateescape")
        if not self._files.match(name):
            return False
        self._idle_files.heard(name)
        return True


def swap_files(text: str) -> Sequence[str]:
    """Patterns for the swap files in use, from the text of /proc/swaps; its names have \\040 for a blank."""
    rows = [line.split() for line in text.splitlines()[1:]]
    names = [plain(row[0]) for row in rows if row[1:2] == ["file"]]
    return [glob_escape(name) for name in names]


def glob_escape(path: str) -> str:
    """A pattern for that path alone."""
    return re.sub(r"([*?[])", r"[\1]", path)
