"""What the server asks of whoever runs it: who may have which export, and where what happens is written down.

Names of exports: `NAME@NUMBER` is a version, read only; `NAME@NUMBER/keep` is the client's own place to
write. Of a disk image that is the disk itself, copied on write, one for each version. Of a tree of files,
whose own image (EROFS) cannot be written to, it is an empty device beside it, for the node to make a file
system on: the same one whatever version the node runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from images.errors import ImageError

KEEP = "/keep"


class Refused(ImageError):
    """This client may not have this export; the text says why, for the server's own log."""


@dataclass(frozen=True, slots=True)
class Place:
    """A node's own: the folder that its layers lie in, and the bytes that one may hold."""

    folder: Path
    limit: int


@dataclass(frozen=True, slots=True)
class Grant:
    """What a client gets: the version NAME@NUMBER, and with `place` somewhere to write."""

    ref: str
    place: Place | None = None


class Gate(Protocol):
    """Asked once for each connection. May block for some milliseconds."""

    def grant(self, peer: str, export: str) -> Grant:
        """`peer` is an IP address. Raises Refused."""


class Journal(Protocol):
    """Takes notes without delay."""

    def record_peer(self, address: str, kind: str, text: str, data: Mapping[str, Any] | None = None) -> None:
        """Kinds: nbd.opened, nbd.closed, nbd.refused; alarm.image: a chunk is damaged; alarm.writes: a
        layer is full."""
