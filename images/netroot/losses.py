"""What a root of each kind cannot carry of a version: attributes that its file system or protocol has not.

    ram   squashfs has no ACLs, and the tar stream that it is made from no sockets
    nbd   EROFS has user, trusted and security attributes, and ACLs
    nfs   neither file capabilities nor labels nor ACLs nor attributes of users cross to a client of ganesha

A machine boots without them; whoever chose this root is told. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypedDict

from images.erofs import ondisk
from images.exporting.losses import in_squashfs
from images.manifest import Entry


class Loss(TypedDict):
    """`what`: the attribute's name, or "sockets"; of how many files, and the first of them."""

    what: str
    files: int
    first: str


def losses(entries: Iterable[Entry]) -> dict[str, Sequence[Loss]]:
    """By kind of root, by name; a hard link's other names are not counted again."""
    found: dict[str, dict[str, Loss]] = {"ram": {}, "nfs": {}, "nbd": {}}

    def note(kind: str, what: str, entry: Entry) -> None:
        row = found[kind].setdefault(what, {"what": what, "files": 0, "first": entry.name})
        row["files"] += 1

    for entry in entries:
        if entry.type == "socket":
            note("ram", "sockets", entry)
        if not entry.xattrs:
            continue
        for name in entry.xattrs.keys() - in_squashfs(entry.xattrs).keys():
            note("ram", name, entry)
        for name in ondisk.xattrs(entry.xattrs)[1]:
            note("nbd", name, entry)
        for name in entry.xattrs:
            note("nfs", name, entry)
    return {kind: [rows[name] for name in sorted(rows)] for kind, rows in found.items()}


def text(loss: Loss) -> str:
    """For a person."""
    more = f" and {loss['files'] - 1} more" if loss["files"] > 1 else ""
    return f"{loss['what']} ({loss['first']}{more})"
