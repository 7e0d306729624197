"""What no reader of an answer file finds wrong, and what an unattended installation stops at all the same.

Notes, never refusals: a site's own script may take care of it.
"""

from __future__ import annotations

import re
import zoneinfo
from collections.abc import Iterator
from functools import cache

from pxe.answers.errors import Finding
from pxe.answers.profile import Profile, Root, User
from pxe.answers.targets import Dialect, Target

_YESCRYPT = {"rhel": 9, "fedora": 30, "debian": 11, "ubuntu": 20, "suse": 15}  # since then
_KEY = re.compile(r"\b(ssh|ecdsa|sk-ssh|sk-ecdsa)-[\w.@-]+ [\w+/]{4,}={0,2}")
_PLANS = ("part", "partition", "autopart", "logvol", "raid", "btrfs", "mount", "%include")


def doubts(profile: Profile, target: Target) -> Iterator[Finding]:
    """Each with its field."""
    if _zones() and profile.timezone not in _zones():
        yield Finding(f"no time zone is called {profile.timezone}", "timezone", warning=True)
    if target.dialect is Dialect.KICKSTART and not _has_plan(profile):
        what = "nothing says what becomes of the disks, so Anaconda would ask: give automatic, or partitions"
        yield Finding(what, "disks", warning=True)
    yield from _typed(profile)
    yield from _log_ins(profile, target)


def _log_ins(profile: Profile, target: Target) -> Iterator[Finding]:
    """Hashes and keys that let nobody in."""
    accounts: list[tuple[str, Root | User]] = [("root", profile.root)]
    accounts += [(f"users[{number}]", user) for number, user in enumerate(profile.users)]
    old = target.line in _YESCRYPT and target.major < _YESCRYPT[target.line]
    for where, one in accounts:
        if old and (one.password or "").startswith("$y$"):
            what = f"yescrypt is newer than {target.name}; `bootsrv answers hash` makes a hash that it knows"
            yield Finding(what, f"{where}.password", warning=True)
        for number, key in enumerate(one.keys):
            if not _KEY.search(key):
                yield Finding("this is no public key of ssh", f"{where}.keys[{number}]", warning=True)


def _typed(profile: Profile) -> Iterator[Finding]:
    """Passphrases that somebody has to type."""
    disks = profile.disks
    places = [("disks.automatic", disks.automatic)] if disks.automatic else []
    for name in ("partitions", "raids", "volumes"):
        places += [(f"disks.{name}[{number}]", one) for number, one in enumerate(getattr(disks, name))]
    for where, one in places:
        if one.luks is not None and not one.luks.passphrase:
            what = "the passphrase is asked for on the console; give secret:NAME"
            yield Finding(what, f"{where}.luks", warning=True)


@cache
def _zones() -> frozenset[str]:
    """Those of this server; none where it has no list."""
    return frozenset(zoneinfo.available_timezones())


def _has_plan(profile: Profile) -> bool:
    disks = profile.disks
    if disks.automatic or disks.partitions or disks.raids or disks.volumes:
        return True
    lines = (line for kept in profile.raw if not kept.section for line in kept.lines)
    return (
        profile.legacy.interactive
        or profile.legacy.upgrade
        or any(line.split()[0] in _PLANS for line in lines if line.split())
    )
