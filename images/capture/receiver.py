"""The server's side of one capture: takes chunks in any order and any number of times, names and data as a
stream in the order of its numbers, and publishes once.

Law: what a sender says is checked like an import: ids are worked out here, entries obey manifest.py, and a
version whose chunks are not all in the store is not published. Every call may come twice (a broken
connection repeats its last one) and changes nothing the second time. Belongs to one thread.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any

from images.ahead import Data
from images.capture import wire
from images.chunker import Cutting
from images.errors import BadInput, ImageError
from images.importing.intake import Intake
from images.manifest import Chunk, parse_entry
from images.progress import silent
from images.store import ImageStore
from images.telling import LOOK
from images.versions import Version

_KERNEL = re.compile(rb"boot/vmlinu[xz]-")


class Early(ImageError):
    """A body of the stream overtook the one before it: to be given again after that."""


class Torn(ImageError):
    """A body of the stream was taken in part, so that nothing can follow it."""


class Receiver:
    """One capture in progress; closing it without `publish` publishes nothing, and keeps the chunks."""

    def __init__(self, store: ImageStore) -> None:
        self._intake = Intake(store, silent)
        self._session = self._intake.session
        self._bodies = 0  # of the stream, that were taken
        self._torn = False  # one was taken in part
        self._cutting = Cutting()
        self._chunks: list[Chunk] = []  # of the file at hand, so far
        self._look = b""

    @property
    def added(self) -> int:
        """Bytes that the store lacked so far, before compression."""
        return self._session.added

    def known(self, ids: Sequence[bytes]) -> list[bool]:
        """For each id whether the store, or this capture, has the chunk."""
        return [self._session.has(id) for id in ids]

    def chunks(self, chunks: Sequence[Data]) -> None:
        """Take chunks. Raises OSError (disk full)."""
        for chunk in chunks:
            self._session.put(chunk)

    def stream(self, number: int, body: memoryview) -> None:
        """Take the records of the stream's body `number`, counted from 0; one that came before is left out.

        Raises Early when one is missing before it, BadInput for what breaks the format, OSError (disk full);
        after either of those, Torn.
        """
        if number < self._bodies:
            return
        if self._torn:
            raise Torn("this capture broke off on the server: begin again")
        if number > self._bodies:
            raise Early(f"body {number} came, but {self._bodies} did not yet")
        self._torn = True
        for kind, payload in wire.records(body):
            self._record(kind, payload)
        self._torn = False
        self._bodies += 1

    def _record(self, kind: int, payload: memoryview) -> None:
        if kind == wire.DATA:
            self._put(self._cutting.feed(payload))
        elif kind == wire.ENTRY:
            self._put(self._cutting.end())
            self._entry(bytes(payload))
            self._chunks, self._look = [], b""
        elif kind == wire.KNOWN:
            self._put(self._cutting.end())
            self._chunks += wire.unpack_known_chunks(payload)
        elif kind == wire.LOOK:
            self._look = bytes(payload[:LOOK])
        elif kind == wire.DROP:
            self._cutting, self._chunks, self._look = Cutting(), [], b""
        else:
            raise BadInput(f"a record of kind {kind}, which this server does not know")

    def _put(self, pieces: Iterable[Data]) -> None:
        self._chunks += [self._session.put(piece) for piece in pieces]

    def _entry(self, line: bytes) -> None:
        entry = parse_entry(line, tuple(self._chunks))
        if entry.chunks and entry.type != "file":
            raise BadInput(f"{entry.name}: data of what is no file")
        if entry.type == "hardlink":
            self._intake.tree.link(entry.path, entry.target)
        else:
            self._intake.tree.add(entry)
        if _KERNEL.match(entry.path) or self._look:
            self._intake.look(entry.path, self._look)

    def publish(
        self, name: str, comment: str, parent: str | None, meta: Mapping[str, Any], warnings: Sequence[str],
        kind: str = "tree",
    ) -> Version:  # fmt: skip
        """Make it the next version of `name`. Raises BadInput, ChunkMissing, OSError."""
        self._intake.warnings += warnings
        if kind == "tree":
            return self._intake.publish(name, comment, meta, parent)
        facts = {**meta, "warnings": list(warnings)} if warnings else dict(meta)
        return self._session.publish(name, comment, parent, facts, kind)

    def close(self) -> None:
        """Forget the entries; chunks taken so far stay for the next try."""
        try:
            self._session.keep()
        finally:
            self._session.close()

    def __enter__(self) -> Receiver:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
