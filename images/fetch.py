"""A source of chunks for whoever writes a tree: over HTTP on a node, from the packs' own files on the server.

Law: no byte is handed out before its sha256 was checked. A frame that does not check is asked for once more
(a transfer can be damaged), with its bases when it is a patch; then the error names the chunk. Memory stays
under 64 MiB: fetch_plan.py decides it. One range is fetched ahead in a thread, so that network and disk work
at the same time.

Python 3.8, standard library only. How ranges travel is the caller's business: any callable will do.
"""

from __future__ import annotations

import hashlib
import queue
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from typing import BinaryIO, Protocol

from images.errors import BadInput, ChunkCorrupt, ImageError
from images.fetch_plan import CACHE, GAP, WINDOW, Range, Step, Window, plan
from images.locator import PATCH, RAW, ZSTD, Frame, Locator
from images.zstd import decompress, decompress_after

BASES = 4 << 20  # unpacked bytes of frames kept for patches


class GetRange(Protocol):
    """Fetch `length` bytes from `start` of the pack with that hex id. Retries are its own business.

    A file-like answer is read to the end and closed. Whatever it raises reaches the one who reads chunks.
    """

    def __call__(self, pack: str, start: int, length: int) -> bytes | BinaryIO: ...


class ChunkSource(Protocol):
    """Who can hand out chunks."""

    def stream(self, ids: Iterable[bytes]) -> Iterator[bytes]:
        """The chunks' bytes in the order of `ids`, each checked."""


class PackSource:
    """Chunks out of packs, by their locator. Several streams at once are fine; each has its own memory."""

    def __init__(
        self, locator: Locator, get_range: GetRange, gap: int = GAP, window: int = WINDOW, cache: int = CACHE
    ) -> None:
        """`gap`: bytes between two frames that are rather fetched and dropped than asked for separately;
        `window`, `cache`: bytes, as in fetch_plan.
        """
        self.locator = locator
        self._gap, self._window, self._cache = gap, window, cache
        self._get_range = get_range
        self.fetched = 0  # bytes asked of `get_range` so far

    def stream(self, ids: Iterable[bytes]) -> Iterator[bytes]:
        """Each chunk's bytes in order. Raises ChunkMissing, ChunkCorrupt, or what `get_range` raises."""
        ahead = _Ahead(plan(ids, self.locator, self._window, self._cache, self._gap), self._fetch)
        unpacked: dict[int, bytes] = {}
        bases = _Bases()
        try:
            for window, data in ahead:
                for step in window.steps:
                    yield self._take(step, unpacked, bases, window, data)
        finally:
            ahead.close()

    def get(self, id: bytes) -> bytes:
        """One chunk by itself."""
        return next(self.stream([id]))

    def _fetch(self, window: Window) -> list[bytes]:
        return [self._range(wanted) for wanted in window.ranges]

    def _range(self, wanted: Range) -> bytes:
        answer = self._get_range(wanted.pack, wanted.start, wanted.length)
        if isinstance(answer, (bytes, bytearray, memoryview)):
            data = bytes(answer)
        else:
            with answer:
                data = answer.read()
        self.fetched += len(data)
        if len(data) != wanted.length:
            raise ImageError(
                f"pack {wanted.pack[:12]}: {len(data)} bytes came where {wanted.length} were asked for"
            )
        return data

    def _take(
        self, step: Step, unpacked: dict[int, bytes], bases: _Bases, window: Window, data: list[bytes]
    ) -> bytes:
        pack = self.locator.frame(step.frame).pack
        for old in step.evict:
            unpacked.pop(old, None)
        if step.load:
            try:
                unpacked[step.frame] = self._unpack(step.frame, unpacked, bases, window, data)
                return check(step, unpacked[step.frame], pack)
            except (BadInput, ChunkCorrupt):
                unpacked.pop(step.frame, None)
            try:
                unpacked[step.frame] = read_frame(self.locator, step.frame, self._once)
            except BadInput as err:
                text = f"chunk {step.id.hex()} in pack {pack}: {err}"
                raise ChunkCorrupt(text, step.id, pack) from err
        return check(step, unpacked[step.frame], pack)

    def _unpack(
        self, number: int, unpacked: dict[int, bytes], bases: _Bases, window: Window, data: list[bytes]
    ) -> bytes:
        """A frame out of a window's ranges."""

        def stored(frame: Frame) -> bytes:
            return _cut(frame, window.ranges, data)

        frame = self.locator.frame(number)
        if frame.codec != PATCH:
            return unpack(frame, stored(frame))
        before = []
        for place in self.locator.bases(number):
            raw = unpacked.get(place.frame)
            if raw is None:
                raw = bases.get(place.frame, self.locator, stored)
            before.append(raw[place.inner : place.inner + place.length])
        return unpack(frame, stored(frame), b"".join(before))

    def _once(self, pack: str, start: int, length: int) -> bytes:
        return self._range(Range(pack, start, length))


class _Bases:
    """The last few frames that patches needed, unpacked: neighbours need the same ones."""

    def __init__(self) -> None:
        self._kept: OrderedDict[int, bytes] = OrderedDict()

    def get(self, number: int, locator: Locator, stored: Callable[[Frame], bytes]) -> bytes:
        """That frame's bytes. Raises BadInput."""
        raw = self._kept.pop(number, None)
        if raw is None:
            frame = locator.frame(number)
            raw = unpack(frame, stored(frame))
            while self._kept and sum(map(len, self._kept.values())) + len(raw) > BASES:
                self._kept.popitem(last=False)
        self._kept[number] = raw
        return raw


def read_frame(locator: Locator, number: int, read: Callable[[str, int, int], bytes]) -> bytes:
    """The bytes of one frame, and of what it is a patch of, each asked of `read` (pack, start, length).
    Raises BadInput, or what `read` raises.
    """

    def stored(frame: Frame) -> bytes:
        return read(frame.pack, frame.offset, frame.stored)

    frame, bases = locator.frame(number), _Bases()
    before = [
        bases.get(place.frame, locator, stored)[place.inner : place.inner + place.length]
        for place in locator.bases(number)
    ]
    return unpack(frame, stored(frame), b"".join(before))


def unpack(frame: Frame, stored: bytes, before: bytes = b"") -> bytes:
    """A frame's bytes; `before` is what a patch is one of. Raises BadInput when they cannot be unpacked to
    the promised size.
    """
    if frame.codec == ZSTD:
        return decompress(stored, frame.raw)
    if frame.codec == RAW and len(stored) == frame.raw:
        return stored
    if frame.codec == PATCH and before:
        return decompress_after(stored, frame.raw, before)
    raise BadInput(f"pack {frame.pack[:12]}: unknown codec {frame.codec} or wrong size")


def check(step: Step, raw: bytes, pack: str) -> bytes:
    """The chunk's bytes out of its frame. Raises ChunkCorrupt when they do not hash to its id."""
    data = raw[step.inner : step.inner + step.length]
    if len(data) != step.length or hashlib.sha256(data).digest() != step.id:
        text = f"chunk {step.id.hex()} in pack {pack} does not match its hash; run `bootsrv image verify`"
        raise ChunkCorrupt(text, step.id, pack)
    return data


def _cut(frame: Frame, ranges: list[Range], data: list[bytes]) -> bytes:
    for wanted, got in zip(ranges, data):  # noqa: B905 - Python 3.8
        start = frame.offset - wanted.start
        if wanted.pack == frame.pack and start >= 0 and start + frame.stored <= wanted.length:
            return got[start : start + frame.stored]
    raise ImageError(f"pack {frame.pack[:12]}: the plan forgot a frame")


class _Ahead:
    """Runs a plan's fetches one window ahead of its reader."""

    def __init__(self, windows: Iterator[Window], fetch: _Fetch) -> None:
        self._windows = windows
        self._fetch = fetch
        self._done: queue.Queue[tuple[Window, list[bytes]] | BaseException | None] = queue.Queue(maxsize=1)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="chunk-fetch", daemon=True)
        self._thread.start()

    def __iter__(self) -> Iterator[tuple[Window, list[bytes]]]:
        while True:
            item = self._done.get()
            if item is None:
                return
            if isinstance(item, BaseException):
                raise item
            yield item

    def close(self) -> None:
        """Let the thread end. It may finish a range that is under way; nobody waits for that."""
        self._stop.set()
        while True:  # make room, so that a blocked put returns and sees the flag
            try:
                self._done.get_nowait()
            except queue.Empty:
                return

    def _run(self) -> None:
        try:
            for window in self._windows:
                if not self._put((window, self._fetch(window))):
                    return
        except BaseException as err:
            self._put(err)
            return
        self._put(None)

    def _put(self, item: tuple[Window, list[bytes]] | BaseException | None) -> bool:
        while not self._stop.is_set():
            try:
                self._done.put(item, timeout=0.5)
            except queue.Full:
                continue
            return True
        return False


class _Fetch(Protocol):
    def __call__(self, window: Window) -> list[bytes]: ...
