"""The names of owners where an archive gives only their numbers, as those of package tools and containers do.

Law: what a member says stays; the rest is by the image's own etc/passwd and etc/group, as if its tree had
been read from a disk, and when all is there, because those may come last. A number that is nowhere has no
name. What the tables of this machine say is never asked.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from images.importing.intake import Intake
from images.manifest import Entry
from images.tree_reader import parse_ids


def fill(intake: Intake) -> None:
    """Name the owners that have none. Raises OSError, ChunkMissing."""
    users, groups = (parse_ids(_table(intake, path)) for path in (b"etc/passwd", b"etc/group"))
    if users or groups:
        intake.tree.amend(_named(intake, users, groups))


def _named(
    intake: Intake, users: Mapping[int, str], groups: Mapping[int, str]
) -> Iterator[tuple[int, Entry]]:
    for record in sorted(intake.tree.named()):
        entry = intake.tree.get(record)
        user, group = entry.user or users.get(entry.uid, ""), entry.group or groups.get(entry.gid, "")
        if (user, group) != (entry.user, entry.group):
            yield record, entry._replace(user=user, group=group)


def _table(intake: Intake, path: bytes) -> bytes:
    record = intake.tree.record(path)
    return b"" if record is None else intake.session.read(intake.tree.get(record).chunks)
