"""The systems that answer files are made for: which dialect, and where in its family's history.

`fedora` and `rhel` releases are two lines of one history. Red Hat Linux 7.2 to 9 stand at Fedora 2: older
than all that Fedora changed. `parser` is the name that pykickstart gives the version, None before its time.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from pxe.errors import SettingError

OLDEST = 2  # Red Hat Linux, as a Fedora number


class Dialect(StrEnum):
    """The language of the answer file."""

    KICKSTART = "kickstart"
    PRESEED = "preseed"
    AUTOINSTALL = "autoinstall"
    NOCLOUD = "nocloud"
    AUTOYAST = "autoyast"
    IGNITION = "ignition"


@dataclass(frozen=True, slots=True)
class Target:
    """One system to install. `version` is (major, minor); `line` is the family whose history counts."""

    name: str
    dialect: Dialect
    line: str  # "fedora", "rhel", "debian", "ubuntu", "suse", "coreos", "cloud"
    version: tuple[int, int]
    parser: str | None = None

    @property
    def major(self) -> int:
        return self.version[0]


_PATTERNS = (
    (re.compile(r"(?:rhl|redhat)-?([6-9])(?:\.(\d))?\Z"), "rhl"),
    (re.compile(r"(?:rhel|centos|rocky|almalinux|alma|oracle|ol)-?(\d+)(?:\.\d+)?\Z"), "rhel"),
    (re.compile(r"(?:fedora|fc|f)-?(\d+)\Z"), "fedora"),
    (re.compile(r"debian-?(\d+)\Z"), "debian"),
    (re.compile(r"ubuntu-?(\d\d)\.(\d\d)\Z"), "ubuntu"),
    (re.compile(r"(cloud-init|nocloud)\Z"), "cloud"),
    (re.compile(r"(?:sles|sle|leap|opensuse)-?(\d\d)(?:\.(\d))?\Z"), "suse"),
    (re.compile(r"(coreos|fcos|flatcar)\Z"), "coreos"),
)
_RANGE = {"rhel": (3, 11), "fedora": (3, 46), "debian": (10, 13), "ubuntu": (20, 99), "suse": (12, 15)}


def find_target(name: str) -> Target:
    """The target of a name such as `rhel9`, `rocky9.4`, `fedora42`, `rhl7.2`, `debian12`, `ubuntu24.04`.

    Raises SettingError that says what there is.
    """
    wanted = name.strip().lower().replace(" ", "")
    for pattern, line in _PATTERNS:
        found = pattern.match(wanted)
        if found:
            return _target(wanted, line, found)
    raise SettingError("target", f"{name!r} is not known; say {known_targets()}")


def known_targets() -> str:
    """What can be named, for messages."""
    return (
        "rhl7.2, rhel3 to rhel11 (also rocky9, alma9, ...), fedora3 to fedora46, debian10 to debian13, "
        "ubuntu24.04, sles12 and 15 (also leap15.6), coreos, flatcar, nocloud"
    )


def _target(name: str, line: str, found: re.Match[str]) -> Target:
    if line in ("cloud", "coreos"):
        return Target(name, Dialect.NOCLOUD if line == "cloud" else Dialect.IGNITION, line, (0, 0))
    major, minor = int(found[1]), int(found[2] or 0) if found.re.groups > 1 else 0
    if line == "rhl":
        return Target(name, Dialect.KICKSTART, "fedora", (OLDEST, major * 10 + minor))
    low, high = _RANGE[line]
    if not low <= major <= high:
        raise SettingError("target", f"{name!r} is out of reach; say {known_targets()}")
    if line == "debian":
        return Target(name, Dialect.PRESEED, line, (major, 0))
    if line == "suse":
        return Target(name, Dialect.AUTOYAST, line, (major, minor))
    if line == "ubuntu":
        return Target(name, Dialect.AUTOINSTALL, line, (major, minor))
    parser = f"RHEL{major}" if line == "rhel" else f"F{'C' if major < 7 else ''}{major}"
    return Target(name, Dialect.KICKSTART, line, (major, 0), parser)
