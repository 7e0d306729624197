"""What the TFTP server needs from above, as Protocols."""

from __future__ import annotations

from typing import Protocol

from pxe.catalogue import Entry


class Files(Protocol):
    """Name -> served thing. `pxe.catalogue.Catalogue` is the implementation that ships."""

    def find(self, name: str, peer: str) -> Entry | None:
        """What `name`, as the peer wrote it, stands for; None: not found. Answers from memory, in
        microseconds."""


class Uploads(Protocol):
    """Who may write, and where it goes. Without one, every write request is refused."""

    def begin(self, name: str, peer: str, size: int | None) -> Upload | None:
        """A place for this upload (`size` bytes when the client said so), or None: refused."""


class Upload(Protocol):
    """One accepted upload. Bytes arrive in order; exactly one of `finish` and `abort` ends it."""

    limit: int  # bytes; a client that sends more is cut off

    def write(self, data: bytes) -> None:
        """The next bytes. OSError (disk full) aborts the transfer with TFTP error 3."""

    def finish(self) -> None:
        """The last block arrived."""

    def abort(self, reason: str) -> None:
        """The transfer ended early; nothing may remain of it."""
