"""The requests of one client, after its handshake.

The hot path is `_requests`: many requests are read at once, and those whose blocks are in the cache are
answered at once, many in one system call: small ones are copied together, of longer ones the kernel takes
the bytes out of the cache's own mapping; very long ones go by sendfile. What must wait (blocks that are not
here, a disk to be flushed) is handed to the server's threads, and comes back here. Nothing here blocks for
longer than writing to the page cache takes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from images.nbd import session, wire
from images.nbd.cache import BLOCK_BITS, SEGMENT, SHIFT, Segment
from images.nbd.device import Device, Part
from images.nbd.layer import SECTOR, Layer, LayerFull
from images.nbd.outbox import Outbox, Piece
from images.nbd.session import Export
from images.nbd.wire import Command, Error, Request, WireError

SMALL = 16 << 10  # bytes: up to here an answer is copied; a longer one goes out of the cache itself
LARGE = 1 << 20  # bytes: up to here an answer goes out with its neighbours
_ROOM, _TOGETHER = 320 << 10, 1 << 20  # bytes in the buffer, and of answers in one system call
_BUFFER = bytearray(_ROOM)  # for all clients: there is one event loop in a process
_VIEW = memoryview(_BUFFER)
_INSIDE = SEGMENT - 1
_UNPACK = wire.REQUEST.unpack_from
_HEAD, _SIMPLE_HEAD, _DATA_HEAD = wire.REQUEST.size, wire.SIMPLE.size, wire.DATA.size
_LARGEST_HEAD = max(_SIMPLE_HEAD, _DATA_HEAD)
_SIMPLE, _DATA = wire.SIMPLE.pack, wire.DATA.pack
_SIMPLE_INTO, _DATA_INTO = wire.SIMPLE.pack_into, wire.DATA.pack_into


def _pack_simple(at: int, cookie: int, offset: int, length: int) -> None:
    _SIMPLE_INTO(_BUFFER, at, wire.SIMPLE_MAGIC, 0, cookie)


def _pack_data(at: int, cookie: int, offset: int, length: int) -> None:
    _DATA_INTO(_BUFFER, at, wire.CHUNK_MAGIC, wire.DONE, wire.CHUNK_DATA, cookie, length + 8, offset)


class Threads(Protocol):
    """What takes time."""

    def bring(self, transmission: Transmission, request: Request, block: int, end: int) -> None:
        """Bring that block (and those up to byte `end`); then call `again` or `failed`."""

    def flush(self, transmission: Transmission, request: Request) -> None:
        """Force the layer to disk; then call `flushed` or `failed`."""

    def trouble(self, transmission: Transmission, kind: str, text: str) -> None:
        """Write down what happened."""


@dataclass(slots=True)
class _Write:
    """A write whose data is coming."""

    request: Request
    at: int
    left: int
    error: int


@dataclass(slots=True)
class Counts:
    """Since the client came; bytes of data, requests."""

    reads: int = 0
    misses: int = 0
    read_bytes: int = 0
    written_bytes: int = 0


class Transmission:
    """`device` None: an empty device, which holds only what was written. `note` is told of each read."""

    def __init__(
        self, out: Outbox, threads: Threads, export: Export, device: Device | None, layer: Layer | None,
        structured: bool, allocation: bool,
    ) -> None:  # fmt: skip
        self.device, self.layer, self.export = device, layer, export
        self._out, self._threads = out, threads
        self._structured, self._allocation = structured, allocation
        self._head, self._pack = (_DATA_HEAD, _pack_data) if structured else (_SIMPLE_HEAD, _pack_simple)
        self._simple, self._size = device is not None and layer is None, export.size
        self._segments: Mapping[int, Segment] = device.segments if device is not None else {}
        self.waiting = 0  # requests that threads are at
        self.ended = False
        self.counts = Counts()
        self.note: Callable[[int, int], None] | None = None
        self._rest = b""
        self._write: _Write | None = None

    def take(self, data: bytes) -> None:
        """The client's next bytes. Raises WireError or OSError: close it."""
        if self._rest:
            data = self._rest + data
        place, end = 0, len(data)
        while place < end and not self.ended:
            before = place
            if self._write is not None:
                place += self._data(memoryview(data)[place:])
            else:
                place = self._requests(data, place, end)
            if place == before:
                break
        self._rest = data[place:]

    def again(self, request: Request) -> None:
        """Its block was brought."""
        self.waiting -= 1
        self._read(request)

    def failed(self, request: Request, error: int = Error.EIO) -> None:
        """It cannot be carried out."""
        self.waiting -= 1
        self._error(request.cookie, error)

    def flushed(self, request: Request) -> None:
        """All that was written is on disk."""
        self.waiting -= 1
        self._done(request.cookie)

    # -- the hot path

    def _requests(self, data: bytes, place: int, end: int) -> int:
        """Answer requests until one has data behind it; how far that went."""
        out, simple, size, segments = self._out, self._simple, self._size, self._segments
        head, pack, counts, note = self._head, self._pack, self.counts, self.note
        full = more = 0  # bytes in the buffer, and beside it
        parts: list[Piece] = []
        while end - place >= _HEAD:
            magic, flags, command, cookie, offset, length = row = _UNPACK(data, place)
            place += _HEAD
            if magic != wire.REQUEST_MAGIC:
                raise WireError("a request without its magic")
            if full and (full + _LARGEST_HEAD + SMALL > _ROOM or full + more + length > _TOGETHER):
                out.send_now(_VIEW, full, parts)
                full = more = 0
                parts = []
            if simple and not command and not flags and 0 < length <= LARGE and offset + length <= size:
                segment, inside = segments.get(offset >> SHIFT), offset & _INSIDE
                stop = inside + length
                if segment is not None and stop <= SEGMENT and not out:
                    first, last = inside >> BLOCK_BITS, stop - 1 >> BLOCK_BITS
                    marks = segment.marks
                    if marks[first] if first == last else marks.find(b"\0", first, last + 1) < 0:
                        pack(full, cookie, offset, length)
                        full += head
                        if length <= SMALL:
                            os.preadv(segment.fd, [_VIEW[full : full + length]], inside)
                            full += length
                        else:
                            parts.append((full, segment, inside, length))
                            more += length
                        segment.touched = True
                        counts.reads += 1
                        counts.read_bytes += length
                        if note is not None:
                            note(offset, length)
                        continue
            if full:
                out.send_now(_VIEW, full, parts)
                full = more = 0
                parts = []
            self._request(Request._make(row))
            if self._write is not None or self.ended:
                break
            if simple:
                out.send()
        if full:
            out.send_now(_VIEW, full, parts)
        return place

    # -- all the others

    def _request(self, request: Request) -> None:
        """One request of any kind. The data of a write that is refused is read all the same."""
        command = request.command
        error = session.fault(self.export, request, self._allocation)
        if command == Command.DISC:
            self.ended = True
        elif command == Command.WRITE:
            if request.length > wire.MOST_LENGTH:
                raise WireError(f"a write of {request.length} bytes")
            self._write = _Write(request, request.offset, request.length, error)
            if not request.length:
                self._written()
        elif error:
            self._error(request.cookie, error)
        elif command == Command.READ:
            self.counts.reads += 1
            self.counts.read_bytes += request.length
            if self.note is not None:
                self.note(request.offset, request.length)
            if not self._read(request):
                self.counts.misses += 1
        elif command == Command.CACHE and self.layer is None:
            self._read(request)
        elif command == Command.CACHE:
            self._done(request.cookie)
        elif command == Command.FLUSH:
            self._flush(request)
        elif command == Command.BLOCK_STATUS:
            self._status(request)
        else:
            self._clear(request)

    def _read(self, request: Request) -> bool:
        """Answer it, or have its blocks brought."""
        offset, length = request.offset, request.length
        parts: list[Part | tuple[Layer, int, int]] = []
        for start, end, here in self._stretches(offset, length):
            if here:
                assert self.layer is not None
                parts.append((self.layer, start, end - start))
                continue
            assert self.device is not None
            absent, found = self.device.locate(start, end - start)
            if absent is not None:
                self.waiting += 1
                self._threads.bring(self, request, absent, end)
                return False
            parts += found
        if request.command == Command.CACHE:
            self._done(request.cookie)
            return True
        if self._structured:
            self._out.add(_DATA(wire.CHUNK_MAGIC, 1, wire.CHUNK_DATA, request.cookie, length + 8, offset))
        else:
            self._out.add(_SIMPLE(wire.SIMPLE_MAGIC, 0, request.cookie))
        for file, start, size in parts:
            if not isinstance(file, Layer):
                file.touched = True
            self._out.add_file(file, start, size)
        return True

    def _stretches(self, offset: int, length: int) -> list[tuple[int, int, bool]]:
        """(start, end, whether it is the layer's): an empty device's are all of the layer, which has
        zeros."""
        if self.layer is None:
            return [(offset, offset + length, False)]
        if self.device is None:
            return [(offset, offset + length, True)]
        return self.layer.stretches(offset, length)

    def _data(self, data: memoryview) -> int:
        """Data of a write, as it comes, in whole sectors; how much was taken."""
        write = self._write
        assert write is not None
        taken = min(write.left, len(data))
        if taken < write.left:
            taken -= taken % SECTOR
        if taken and not write.error:
            write.error = self._changed(lambda layer: layer.write(write.at, data[:taken]))
        write.at += taken
        write.left -= taken
        if not write.left:
            self._written()
        return taken

    def _written(self) -> None:
        assert self._write is not None
        request, error = self._write.request, self._write.error
        self._write = None
        if not error:
            self.counts.written_bytes += request.length
        self._answer(request, error)

    def _clear(self, request: Request) -> None:
        """TRIM and WRITE_ZEROES: both read as zeros afterwards."""
        self._answer(request, self._changed(lambda layer: layer.zero(request.offset, request.length)))

    def _changed(self, change: Callable[[Layer], None]) -> int:
        """0, or the error to answer with."""
        assert self.layer is not None
        if self.layer.superseded:
            return Error.ESHUTDOWN
        try:
            change(self.layer)
        except LayerFull as limit:
            self._threads.trouble(self, "alarm.writes", f"what it keeps is full: {limit}")
            return Error.ENOSPC
        except OSError as error:
            full = error.errno == Error.ENOSPC
            self._threads.trouble(self, "alarm.writes", f"what it writes cannot be kept: {error}")
            return Error.ENOSPC if full else Error.EIO
        return 0

    def _answer(self, request: Request, error: int) -> None:
        if error:
            self._error(request.cookie, error)
        elif request.flags & wire.FUA:
            self._flush(request)
        else:
            self._done(request.cookie)

    def _flush(self, request: Request) -> None:
        if self.layer is None:
            self._done(request.cookie)
        else:
            self.waiting += 1
            self._threads.flush(self, request)

    def _status(self, request: Request) -> None:
        start, end = request.offset, request.offset + request.length
        data = [(start, end)]
        if self.layer is None and self.device is not None:
            data = list(self.device.volume.data(start, end))
        rows = session.status(data, start, request.length, bool(request.flags & wire.REQ_ONE))
        self._out.add(wire.status_chunk(request.cookie, rows))

    def _done(self, cookie: int) -> None:
        self._out.add(wire.done_reply(cookie, self._structured))

    def _error(self, cookie: int, error: int) -> None:
        self._out.add(wire.error_reply(cookie, error, self._structured))
