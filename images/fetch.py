"""A source of chunks for whoever writes a tree: over HTTP on a node, from the packs' own files on the server.

Law: no byte is handed out before its sha256 was checked. A frame that does not check is asked for once more
(a transfer can be damaged); then the error names the chunk. Memory stays under 64 MiB: fetch_plan.py
decides it. One range is fetched ahead in a thread, so that network and disk work at the same time.

Python 3.8, standard library only. How ranges travel is the caller's business: any callable will do.
"""

from __future__ import annotations

import hashlib
import queue
import threading
from collections.abc import Iterable, Iterator
from typing import BinaryIO, Protocol

from images.errors import BadInput, ChunkCorrupt, ImageError
from images.fetch_plan import CACHE, GAP, WINDOW, Range, Step, Window, plan
from images.locator import RAW, ZSTD, Frame, Locator
from images.zstd import decompress


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
        try:
            for window, data in ahead:
                for step in window.steps:
                    yield self._take(step, unpacked, window, data)
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

    def _take(self, step: Step, unpacked: dict[int, bytes], window: Window, data: list[bytes]) -> bytes:
        for old in step.evict:
            unpacked.pop(old, None)
        if step.load:
            frame = self.locator.frame(step.frame)
            try:
                unpacked[step.frame] = unpack(frame, _cut(frame, window.ranges, data))
                return check(step, unpacked[step.frame], frame.pack)
            except (BadInput, ChunkCorrupt):
                again = self._range(Range(frame.pack, frame.offset, frame.stored))
            try:
                unpacked[step.frame] = unpack(frame, again)
            except BadInput as err:
                text = f"chunk {step.id.hex()} in pack {frame.pack}: {err}"
                raise ChunkCorrupt(text, step.id, frame.pack) from err
        return check(step, unpacked[step.frame], self.locator.frame(step.frame).pack)


def unpack(frame: Frame, stored: bytes) -> bytes:
    """A frame's bytes. Raises BadInput when they cannot be unpacked to the promised size."""
    if frame.codec == ZSTD:
        return decompress(stored, frame.raw)
    if frame.codec == RAW and len(stored) == frame.raw:
        return stored
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
