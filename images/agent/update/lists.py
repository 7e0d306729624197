"""What an update leaves alone: patterns for what is the machine's own, and the overrides laid on top.

Three lists count together: what every machine keeps for itself (OWN, the files that imaging writes), what the
image says (`update_excludes` in its manifest's header), and the machine's own /etc/bootsrv/push.exclude, one
pattern a line. A pattern is a shell pattern on "/path/in/tree"; `*` crosses slashes. Excluded names are never
read, written or removed. /etc/bootsrv/overrides holds a tree whose files replace the image's. Python 3.8,
standard library only.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Iterator
from typing import Callable

EXCLUDE_FILE = "/etc/bootsrv/push.exclude"
OVERRIDES = "/etc/bootsrv/overrides"
RUNTIME = (
    "/proc/*", "/sys/*", "/dev/*", "/run/*", "/tmp/*", "/var/tmp/*", "/var/run/*", "/lost+found",  # noqa: S108
    "/mnt/*", "/media/*", "/var/log/*", "/var/cache/*", "/var/lib/systemd/*", "/var/lib/dhcp/*",
    "/var/lib/dhcpcd/*", "/var/lib/NetworkManager/*", "/var/spool/*", "/.autorelabel", "/swapfile",
)  # fmt: skip
OWN = (
    "/etc/hostname", "/etc/hosts", "/etc/fstab", "/etc/crypttab", "/etc/machine-id", "/etc/mdadm/*",
    "/var/lib/dbus/machine-id", "/var/lib/urandom/*", "/etc/adjtime", "/etc/resolv.conf",
    "/etc/ssh/ssh_host_*", "/root/.ssh/authorized_keys", "/etc/bootsrv", "/etc/bootsrv/*",
    "/usr/local/lib/bootsrv", "/usr/local/lib/bootsrv/*", "/var/lib/bootsrv", "/var/lib/bootsrv/*",
    "/etc/systemd/system/bootsrv-*", "/etc/systemd/system/*.wants/bootsrv-*", "/etc/local.d/bootsrv.start",
    "/etc/systemd/network/05-bootsrv.*", "/etc/netplan/*", "/etc/NetworkManager/system-connections/*",
    "/etc/network/interfaces", "/etc/network/interfaces.d/*", "/etc/cloud/cloud.cfg.d/99-bootsrv.cfg",
    "/etc/default/grub.d/90-bootsrv.cfg", "/boot/grub/*", "/boot/efi/*", "*/.bootsrv-push*",
)  # fmt: skip


def parse_patterns(text: str) -> list[str]:
    """One pattern a line; blank lines and `#` lines are comments."""
    return [line.strip() for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]


def matcher(
    patterns: Iterable[str], heard: Callable[[str], None] = lambda path: None
) -> Callable[[bytes], bool]:
    """Whether a manifest path is excluded: it matches, or a directory above it does. `heard` is told of each
    that is.
    """
    each = [one for pattern in patterns for one in _with_below(pattern)]
    joined = re.compile("|".join(map(fnmatch.translate, each)) or r"(?!)")

    def excluded(path: bytes) -> bool:
        name = "/" + path.decode("utf-8", "surrogateescape")
        if joined.match(name) is None:
            return False
        heard(name)
        return True

    return excluded


def _with_below(pattern: str) -> Iterator[str]:
    yield pattern.rstrip("/") or pattern
    if not pattern.endswith("*"):
        yield pattern.rstrip("/") + "/*"


def merge_shadow(image: str, node: str) -> str:
    """The image's /etc/shadow with the passwords that this machine has; accounts only it has are kept."""
    own = {line.split(":")[0]: line for line in node.splitlines() if line}
    lines = []
    for line in image.splitlines():
        fields = line.split(":")
        mine = own.pop(fields[0], "").split(":")
        lines.append(":".join([fields[0], mine[1], *fields[2:]]) if len(mine) > 2 else line)
    return "\n".join([*lines, *own.values()]) + "\n"
