"""Where a file's bytes are cut into chunks: by content (FastCDC), so that an insertion moves only its own
chunk.

The sizes below are not stored anywhere, but changing them makes new versions share nothing with old ones.
Small files are one chunk: cutting them would cost more in bookkeeping than it finds. Because neighbours
share a compressed frame (pack.py), chunks may be small without hurting compression.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from pyfastcdc import FastCDC

from images.ahead import Data

WHOLE = 64 << 10  # files up to here are one chunk
AVERAGE = 64 << 10
BUFFER = 8 << 20  # bytes cut at once
_SURE = 512 << 10  # bytes that have a cut in them: no chunk has more than four times the average
_cdc = FastCDC(avg_size=AVERAGE)


class Read(Protocol):
    """Reads up to `size` bytes; fewer only at the end or when it likes, b"" at the end alone."""

    def __call__(self, size: int, /) -> bytes: ...


def cut(read: Read) -> Iterator[Data]:
    """The chunks of everything `read` gives, in order, in constant memory."""
    cutting = Cutting()
    while piece := fill(read):
        yield from cutting.feed(piece)
    yield from cutting.end()


class Cutting:
    """The chunks of bytes that come piece by piece; they are those that the whole would have.

    What it answers may be views of the last piece.
    """

    def __init__(self) -> None:
        self._parts: list[Data] = []  # after the last sure cut
        self._held = 0
        self._cut = False

    def feed(self, piece: Data) -> list[Data]:
        """The chunks that are sure with these bytes."""
        self._parts.append(piece)
        self._held += len(piece)
        if self._held < _SURE:
            return []
        made = list(_cdc.cut_buf(self._taken()))
        self._parts, self._cut = [bytes(made.pop().data)], True  # its end is no cut; copied, lest all stays
        self._held = len(self._parts[0])
        return [chunk.data for chunk in made]

    def end(self) -> list[Data]:
        """What is left. The next piece begins anew."""
        rest, cut = self._taken(), self._cut
        self._parts, self._held, self._cut = [], 0, False
        if len(rest) > WHOLE or (cut and rest):
            return [chunk.data for chunk in _cdc.cut_buf(rest)]
        return [rest] if rest else []

    def _taken(self) -> Data:
        return self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)


def cut_whole(data: bytes) -> Iterator[Data]:
    """The chunks of a file of which `data` is all."""
    if len(data) > WHOLE:
        yield from (chunk.data for chunk in _cdc.cut_buf(data))
    elif data:
        yield data


def fill(read: Read) -> bytes:
    """`BUFFER` bytes, or all that is left."""
    held = 0
    parts: list[bytes] = []
    while held < BUFFER:
        part = read(BUFFER - held)
        if not part:
            break
        parts.append(part)
        held += len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)
