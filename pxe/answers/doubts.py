"""What no reader of an answer file finds wrong, and what an unattended installation stops at all the same.

Notes, never refusals: a site's own script may take care of it.
"""

from __future__ import annotations

import zoneinfo
from collections.abc import Iterator
from functools import cache

from pxe.answers.errors import Finding
from pxe.answers.profile import Profile
from pxe.answers.targets import Dialect

_PLANS = ("part", "partition", "autopart", "logvol", "raid", "btrfs", "mount", "%include")


def doubts(profile: Profile, dialect: Dialect) -> Iterator[Finding]:
    """Each with its field."""
    if _zones() and profile.timezone not in _zones():
        yield Finding(f"no time zone is called {profile.timezone}", "timezone", warning=True)
    if dialect is Dialect.KICKSTART and not _has_plan(profile):
        what = "nothing says what becomes of the disks, so Anaconda would ask: give automatic, or partitions"
        yield Finding(what, "disks", warning=True)
    yield from _typed(profile)


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
