"""The server's side of one capture: takes chunks and entries in any order and any number of times, publishes
once.

Law: what a sender says is checked like an import: ids are worked out here, entries obey manifest.py, and a
version whose chunks are not all in the store is not published. Every call may come twice (a broken
connection repeats its last one) and changes nothing the second time. Belongs to one thread.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any

from images.chunker import cut
from images.errors import BadInput
from images.importing.intake import Intake
from images.manifest import Chunk, parse_entry
from images.progress import silent
from images.store import ImageStore
from images.versions import Version

_KERNEL = re.compile(rb"boot/vmlinu[xz]-")


class Receiver:
    """One capture in progress; closing it without `publish` publishes nothing, and keeps the chunks."""

    def __init__(self, store: ImageStore) -> None:
        self._intake = Intake(store, silent)
        self._session = self._intake.session
        self._lines = 0

    @property
    def added(self) -> int:
        """Bytes that the store lacked so far, before compression."""
        return self._session.added

    def known(self, ids: Sequence[bytes]) -> list[bool]:
        """For each id whether the store, or this capture, has the chunk."""
        return [self._session.has(id) for id in ids]

    def chunks(self, chunks: Sequence[bytes]) -> None:
        """Take chunks. Raises OSError (disk full)."""
        for chunk in chunks:
            self._session.put(chunk)

    def cut(self, data: bytes, last: bool) -> list[Chunk]:
        """Cut a stretch of a file by content, as an import does, and take the chunks.

        Unless it is the `last` stretch, its end is no cut: the bytes after the last chunk told are to be sent
        again at the start of the next stretch. Raises BadInput for one too short.
        """
        place = 0

        def read(size: int) -> bytes:
            nonlocal place
            piece = data[place : place + size]
            place += len(piece)
            return piece

        pieces = list(cut(read))
        if not last:
            if len(pieces) < 2:
                raise BadInput(f"a stretch of {len(data)} bytes that is not the last one is too short to cut")
            pieces.pop()
        return [self._session.put(piece) for piece in pieces]

    def entries(self, number: int, lines: Sequence[bytes], looks: Mapping[bytes, bytes]) -> None:
        """Take manifest lines. `number` counts the lines sent before; `looks` are starts of telling files.

        Raises BadInput for what breaks the format, or when lines in between are missing.
        """
        if number > self._lines:
            raise BadInput(f"entries from {number} on, but only {self._lines} came before")
        for line in lines[self._lines - number :]:
            entry = parse_entry(line)
            if entry.type == "hardlink":
                self._intake.tree.link(entry.path, entry.target)
            else:
                self._intake.tree.add(entry)
            if _KERNEL.match(entry.path) or entry.path in looks:
                self._intake.look(entry.path, looks.get(entry.path, b""))
            self._lines += 1

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
