"""How a node or a group is to boot, as people write it: words to the model's records, and what contradicts
itself. Pure; raises Invalid.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from enum import StrEnum
from typing import Protocol, TypeVar

from bootsrv import names
from bootsrv.errors import Invalid, Needed
from bootsrv.model import Diskless, Root, RootKind, Writes

FIELDS = {"root": "root", "writes": "writes", "paths": "paths", "write-limit": "limit"}  # as written: as kept
LEAST = 16 << 20  # bytes: what a system writes before anybody can log in
MOST_PATHS = 32

Kind = TypeVar("Kind", bound=StrEnum)


class Wish(Protocol):
    """What somebody wants of a root. None: leave as it is."""

    @property
    def root(self) -> str | None: ...
    @property
    def writes(self) -> str | None: ...
    @property
    def paths(self) -> Sequence[str] | None: ...
    @property
    def write_limit(self) -> str | int | None: ...


def choice(kind: type[Kind], text: str, what: str) -> Kind:
    """One of an enumeration's words."""
    try:
        return kind(text)
    except ValueError:
        raise Invalid(f"{what} {text!r} is none of {', '.join(kind)}") from None


def diskless(now: Diskless, wish: Wish) -> Diskless:
    """What is said after this wish."""
    if wish.root is not None:
        now = replace(now, root=choice(RootKind, wish.root, "root"))
    if wish.writes is not None:
        now = replace(now, writes=choice(Writes, wish.writes, "writes"))
    if wish.paths is not None:
        paths = tuple(dict.fromkeys(map(names.kept_path, wish.paths)))
        if len(paths) > MOST_PATHS:
            raise Invalid(
                f"{len(paths)} paths to keep; at most {MOST_PATHS}: name the directories above them"
            )
        now = replace(now, paths=paths or None)
    if wish.write_limit is not None:
        limit = names.size(wish.write_limit)
        if limit < LEAST:
            raise Invalid(f"a write limit of {limit} bytes: no system comes up with less than {LEAST >> 20}M")
        now = replace(now, limit=limit)
    return now


def cleared(now: Diskless, key: str) -> Diskless:
    """One of FIELDS taken back."""
    return replace(now, **{FIELDS[key]: None})


def fits(root: Root) -> None:
    """Nothing in it contradicts the rest."""
    if root.writes is Writes.PATHS and not root.paths:
        raise Needed("writes paths: say which are kept, such as /home", "paths")
    if root.kind is RootKind.RAM and root.writes.stay:
        raise Invalid(
            f"root ram: such a node does without the server after its boot, so writes cannot be "
            f"{root.writes}: use root nfs or nbd"
        )


def kept(before: Diskless, after: Diskless, root: Root) -> None:
    """A node's paths that were just named are kept: with other writes they are of no use, which nobody would
    notice before the next boot. Those of an earlier day may wait. Raises Needed."""
    if after.paths and after.paths != before.paths and root.writes is not Writes.PATHS:
        raise Needed(f"{after.paths[0]} is not kept while writes are {root.writes}, not paths", "writes")
