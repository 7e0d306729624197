"""A drop-in for the kernel's NFS server (exports(5)) as text. Pure.

`fsid` is ours, so that file handles stay the same over restarts; `subtree_check` is not needed, since each
export is a file system of its own or squashed (export.py). `mp`: while that is not mounted, nothing is
exported in its place.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterable
from typing import NamedTuple

from images.nfs.export import Export
from images.octal import plain

_PLAIN = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/@._+-")


def exports(listed: Iterable[Export]) -> str:
    """The whole file. An export without clients is left out: here that means everybody."""
    rows = [_row(export) for export in sorted(listed, key=lambda one: one.id) if export.clients]
    return "# Written by bootsrv; changes are lost.\n" + "".join(rows)


def _row(export: Export) -> str:
    options = [
        "rw" if export.writable else "ro",
        "all_squash" if export.squash else "no_root_squash",
        "secure", "sync", "no_subtree_check", f"fsid={fsid(export)}", *([] if export.squash else ["mp"]),
    ]  # fmt: skip
    told = " ".join(f"{client}({','.join(options)})" for client in export.clients)
    return f"{_escaped(str(export.directory))} {told}\n"


class Granted(NamedTuple):
    """A directory and one client that has it."""

    directory: str
    client: str


def granted(text: str) -> set[Granted]:
    """What a file of ours grants."""
    found = set()
    for line in text.splitlines():
        if not line.startswith("#"):
            directory, *clients = line.split(" ")
            name = plain(directory).encode("latin-1").decode()
            found |= {Granted(name, client.partition("(")[0]) for client in clients}
    return found


def fsid(export: Export) -> uuid.UUID:
    """Of its path, which says what it is."""
    return uuid.UUID(bytes=hashlib.sha256(export.path.encode()).digest()[:16])


def _escaped(path: str) -> str:
    """exports(5): what is not plain as three octal digits."""
    return "".join(chr(byte) if byte in _PLAIN else f"\\{byte:03o}" for byte in path.encode())
