"""Chunks on their way into packs: gathered into frames, compressed in threads, written in order."""

from __future__ import annotations

import os
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from images.ahead import Data
from images.compress import FRAME, compress
from images.pack import SUFFIX, PackWriter, Trailer, delete_pack

PACK = 64 << 20  # stored bytes per pack
WAITING = 12  # frames beside two for each thread: what comes is not even

Member = tuple[bytes, int, int]  # chunk id, offset in its frame, length
Made = tuple[int, bytes, tuple[bytes, ...]]  # codec, stored bytes, bases of a patch


class PackStream:
    """Chunks in, finished packs out: gathers frames, compresses them in threads, starts a new pack when one
    is full.

    `finished` collects the trailers of durable packs.
    """

    def __init__(self, folder: Path, temp: Path) -> None:
        self._folder = folder
        self._temp = temp
        self._workers = max(2, os.cpu_count() or 2)
        self._threads = ThreadPoolExecutor(self._workers, thread_name_prefix="compress")
        self._jobs: deque[tuple[Future[Made], int, list[Member]]] = deque()
        self._closer = ThreadPoolExecutor(1, thread_name_prefix="pack")  # forcing to disk waits; we need not
        self._closing: deque[Future[Trailer]] = deque()
        self._pack: PackWriter | None = None
        self._parts: list[Data] = []
        self._members: list[Member] = []
        self._raw = 0
        self.finished: list[Trailer] = []

    def add(self, id: bytes, data: Data) -> None:
        """Take one chunk. Raises OSError when an earlier frame could not be written."""
        if self._members and self._raw + len(data) > FRAME:
            self._submit()
        self._members.append((id, self._raw, len(data)))
        self._parts.append(data)
        self._raw += len(data)

    def copy(
        self, codec: int, stored: bytes, raw: int, members: list[Member], bases: tuple[bytes, ...]
    ) -> None:
        """Take a whole frame as it is, from another pack or made by the caller."""
        done: Future[Made] = Future()
        done.set_result((codec, stored, bases))
        self._queue(done, raw, members)

    def flush(self) -> None:
        """Make everything taken so far durable."""
        if self._members:
            self._submit()
        while self._jobs:
            self._store()
        self._finish()
        while self._closing:
            self.finished.append(self._closing.popleft().result())

    def close(self) -> None:
        """Drop what is not in a finished pack."""
        self._threads.shutdown(wait=True, cancel_futures=True)
        self._closer.shutdown(wait=True)
        if self._pack:
            self._pack.abort()
            self._pack = None

    def abandon(self) -> None:
        """Drop finished packs, too: nobody was told of them."""
        self.close()
        done = [job.result() for job in self._closing if job.exception() is None]
        for pack in (*self.finished, *done):
            delete_pack(self._folder / (pack.id.hex() + SUFFIX))

    def _submit(self) -> None:
        job = self._threads.submit(_compressed, b"".join(self._parts))
        self._queue(job, self._raw, self._members)
        self._parts, self._members, self._raw = [], [], 0

    def _queue(self, job: Future[Made], raw: int, members: list[Member]) -> None:
        self._jobs.append((job, raw, members))
        while len(self._jobs) > 2 * self._workers + WAITING or (self._jobs and self._jobs[0][0].done()):
            self._store()

    def _store(self) -> None:
        job, raw, members = self._jobs.popleft()
        codec, stored, bases = job.result()
        if self._pack is None:
            self._pack = PackWriter(self._folder, self._temp)
        self._pack.add(codec, stored, raw, members, bases)
        if self._pack.size >= PACK:
            self._finish()

    def _finish(self) -> None:
        if self._pack:
            self._closing.append(self._closer.submit(_finished, self._pack))
            self._pack = None
        while len(self._closing) > 1 or (self._closing and self._closing[0].done()):
            self.finished.append(self._closing.popleft().result())


def _compressed(data: bytes) -> Made:
    return *compress(data), ()


def _finished(pack: PackWriter) -> Trailer:
    try:
        return pack.finish()
    except BaseException:
        pack.abort()
        raise
