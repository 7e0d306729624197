"""Which packages an archive needs so that what was asked for can be installed from it: apt's own answer."""

from __future__ import annotations

from collections.abc import Sequence

from bootsrv.apt import AptRoom
from bootsrv.errors import BootsrvError, Invalid
from bootsrv.mirrors.stanzas import Stanza, parse

BASE = ("required", "important")  # what debootstrap installs


def available(apt: AptRoom) -> list[Stanza]:
    """The newest of every package that the room's sources have."""
    return list(parse(apt.run(["apt-cache", "dumpavail"])))


def closure(apt: AptRoom, packages: Sequence[str]) -> list[Stanza]:
    """The base system, `packages`, and all that they depend on or recommend. Raises Invalid for a package
    that there is not."""
    every = available(apt)
    known = {one.name for one in every}
    base = [one.name for one in every if one.priority in BASE]
    unknown = [name for name in packages if name not in known]
    if unknown:
        raise Invalid(f"there is no package {', '.join(unknown[:5])} in this release")
    sums = _together(apt, base, list(packages))
    found = [one for one in every if one.sha256 in sums]
    if len(found) < len(sums):
        raise BootsrvError(f"apt would fetch {len(sums) - len(found)} packages that its index does not have")
    return found


def _together(apt: AptRoom, base: Sequence[str], packages: Sequence[str]) -> set[str]:
    """Hashes of what is fetched for all of these. Some packages exclude each other (loaders for BIOS and
    UEFI): then they are asked for in two halves."""
    try:
        return {wish.sha256 for wish in apt.closure([*base, *packages])}
    except BootsrvError:
        if len(packages) < 2:
            raise
        half = len(packages) // 2
        return _together(apt, base, packages[:half]) | _together(apt, base, packages[half:])
