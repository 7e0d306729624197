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

WHOLE = 64 << 10  # files up to here are one chunk
AVERAGE = 64 << 10
_BUFFER = 8 << 20


class Read(Protocol):
    """Reads up to `size` bytes; fewer only at the end or when it likes, b"" at the end alone."""

    def __call__(self, size: int, /) -> bytes: ...


def cut(read: Read) -> Iterator[bytes]:
    """The chunks of everything `read` gives, in order, in constant memory."""
    cdc = FastCDC(avg_size=AVERAGE)
    held = b""
    while True:
        more = _fill(read, _BUFFER - len(held))
        ended = len(more) < _BUFFER - len(held)
        buffer = held + more if held else more
        if len(buffer) <= WHOLE and ended:
            if buffer:
                yield buffer
            return
        place = 0
        view = memoryview(buffer)
        for chunk in cdc.cut_buf(buffer):
            end = chunk.offset + chunk.length
            if end == len(buffer) and not ended:
                break  # this cut was made by the end of the buffer, not by the content
            yield bytes(view[place:end])
            place = end
        if ended:
            return
        held = bytes(view[place:])


def _fill(read: Read, size: int) -> bytes:
    """Exactly `size` bytes, or all that is left."""
    first = read(size)
    if len(first) == size or not first:
        return first
    parts, held = [first], len(first)
    while held < size:
        part = read(size - held)
        if not part:
            break
        parts.append(part)
        held += len(part)
    return b"".join(parts)
