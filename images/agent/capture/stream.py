"""The names and data of a capture in their order, as bodies of records (see images/capture/wire.py).

Files are read straight into a body, which is used again when it was sent; the law: there are as many bodies
as may be on their way, and who fills them waits for a free one. Belongs to the reading thread.
Python 3.8, standard library only.
"""

from __future__ import annotations

import queue
from typing import Callable, Optional, Sequence

from images.capture import wire
from images.errors import BadInput
from images.manifest import Chunk, Entry, write_entry

MANY = 10_000  # chunks in one record
NAMES = 256 << 10  # bytes of names that wait
LEAST = 256 << 10  # bytes that must fit for a larger file to be begun in a body
Read = Callable[[memoryview, int], None]
Send = Callable[[int, memoryview, bool, Callable[[], None]], None]


class Stream:
    """`send` gets each body's number, its sealed bytes, whether they are names above all, and what to call
    when it needs them no more.
    """

    def __init__(self, send: Send, bodies: int) -> None:
        self._send, self._number = send, 0
        self._free: "queue.SimpleQueue[Optional[memoryview]]" = queue.SimpleQueue()
        for _ in range(bodies):
            self._free.put(None)  # made when it is needed
        self._body: Optional[memoryview] = None
        self._end = wire.HEAD.size
        self._data = 0  # bytes of files in the body

    def data(self, read: Read, start: int, end: int) -> None:
        """Bytes of the file at hand, that `read` puts into a buffer. Raises what it raises."""
        while start < end:
            room = wire.BATCH - self._end - wire.HEAD.size
            if room < min(end - start, LEAST):
                self.flush()
                continue
            size = min(end - start, room)
            body, place = self._open(), self._end + wire.HEAD.size
            read(body[place : place + size], start)
            wire.HEAD.pack_into(body, self._end, wire.DATA, size)
            self._data += size
            self._end = place + size
            start += size

    def known(self, chunks: Sequence[Chunk]) -> None:
        """Chunks of the file at hand that the server has, or gets apart from this."""
        for first in range(0, len(chunks), MANY):
            self._record(wire.KNOWN, wire.pack_known_chunks(chunks[first : first + MANY]))

    def drop(self) -> None:
        """What came of the file at hand does not count."""
        self._record(wire.DROP, b"")

    def entry(self, entry: Entry, look: bytes) -> None:
        """The name whose data is complete."""
        if look:
            self._record(wire.LOOK, look)
        line = write_entry(entry._replace(chunks=())).rstrip(b"\n")
        if len(line) > wire.LIMIT - wire.HEAD.size:
            raise BadInput(f"{entry.name} has too many attributes or holes: leave it out with --exclude")
        self._record(wire.ENTRY, line)
        if self._end - self._data > NAMES:  # the server has its work with them: not all at the end
            self.flush()

    def flush(self) -> None:
        """Sends what there is."""
        if self._body is None:
            return
        body, length = self._body, self._end - wire.HEAD.size
        wire.HEAD.pack_into(body, 0, wire.RAW, length)
        names = self._data < length // 2
        self._send(self._number, body[: self._end], names, lambda: self._free.put(body))
        self._number += 1
        self._body, self._end, self._data = None, wire.HEAD.size, 0

    def _record(self, kind: int, payload: bytes) -> None:
        if self._end + wire.HEAD.size + len(payload) > wire.BATCH and self._end > wire.HEAD.size:
            self.flush()
        body, place = self._open(), self._end + wire.HEAD.size
        wire.HEAD.pack_into(body, self._end, kind, len(payload))
        self._end = place + len(payload)
        body[place : self._end] = payload

    def _open(self) -> memoryview:
        if self._body is None:
            self._body = self._free.get() or memoryview(bytearray(wire.LIMIT + wire.HEAD.size))
        return self._body
