"""Binary patches on this machine: a new file from an old one and few bytes.

A patch is a zstd frame made with the old file as prefix (`zstd --patch-from`); a patch set is magic, the
length of a zstd frame, that frame (rows of new path, old path, offset, length), then the patches in manifest
order. Law: a patch is only ever a shorter way: supply.py hashes what comes out and fetches what is wrong.
Python 3.8, standard library only.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import tempfile
from array import array
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from typing import IO, TYPE_CHECKING, Callable, Dict, List, NamedTuple, Optional, Set, Tuple

from images.agent.client import Client, Refused
from images.agent.update.folders import Folders
from images.agent.update.lines import path_of
from images.agent.update.state import HOME
from images.agent.update.supply import Patched
from images.errors import BadInput
from images.manifest import Entry, line_start, parse_entry, to_bytes
from images.patchset import HEAD, MAGIC, Row, rows
from images.repack import Recipe, compress, version
from images.zstd import decompress_after, decompress_into, decompress_stream

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

AHEAD = 4 << 20  # bytes fetched at once
GONE = 404
SMALL, STEP = 4 << 20, 1 << 20  # bytes: up to which a file is made in memory; that are handed on at once


class Patch(NamedTuple):
    """Where it lies in the set, and the old file it starts from."""

    old: bytes
    offset: int
    length: int
    repack: Optional[Recipe] = None


class _Rows:
    """The index of a set: as columns, since there may be a million. Rows are numbered in the set's order."""

    def __init__(self, rows: Iterable[Row], start: int) -> None:
        self._start = start
        self._numbers: Dict[bytes, int] = {}
        self._olds: List[Optional[bytes]] = []  # None: the same path
        self._offsets, self.lengths = array("Q"), array("Q")
        self._recipes: Dict[int, Recipe] = {}
        self.slow: Dict[bytes, int] = {}  # path to number, of those with a recipe
        for number, row in enumerate(rows):
            path = to_bytes(row.new)
            if row.repack is None or row.repack.version == version():
                self._numbers[path] = number  # else it would not come out the same: better fetched
            self._olds.append(None if row.old == row.new else to_bytes(row.old))
            self._offsets.append(row.offset)
            self.lengths.append(row.length)
            if row.repack is not None and path in self._numbers:
                self._recipes[number], self.slow[path] = row.repack, number

    def __len__(self) -> int:
        return len(self._olds)

    def number(self, path: bytes) -> Optional[int]:
        """Of the patch that makes that file."""
        return self._numbers.get(path)

    def patch(self, path: bytes, number: int) -> Patch:
        """The whole row."""
        old = self._olds[number]
        place = self._start + self._offsets[number]
        return Patch(path if old is None else old, place, self.lengths[number], self._recipes.get(number))


class PatchSet:
    """The patches that the server has for this update; none when `id` is None. After `prepare` it is, for
    each path, how that file is made.
    """

    def __init__(self, client: Client, id: Optional[str], tree: Folders, base: Mapping[bytes, bytes]) -> None:
        self._client, self._id, self._tree, self._base = client, id, tree, base
        self._usable = bytearray()  # by number: its old file is here, and somebody wants it
        self._begun: Dict[bytes, Patched] = {}
        self._held, self._at = b"", 0
        self._pool: Optional[ThreadPoolExecutor] = None
        self.fetched = 0  # bytes

    def begin(self, lines: Iterable[bytes], excluded: Callable[[bytes], bool]) -> None:
        """Starts on what of these entries is packed again, which takes seconds, unless it is left alone or
        this machine seems to have it already: meanwhile somebody finds out what differs.
        """
        starts = tuple(line_start(path) for path in self._rows.slow)
        for line in lines if starts else ():
            if line.startswith(starts) and not excluded(path_of(line)):
                entry = parse_entry(line)
                there = self._tree.stat(entry.path)
                if there is None or there.st_size != entry.size:
                    self._start(entry, self._rows.slow[entry.path])

    def slow(self, paths: Iterable[bytes]) -> Set[bytes]:
        """Those that are packed again: to be asked for last, since that goes on beside the others."""
        return self._rows.slow.keys() & set(paths) if self._rows.slow else set()

    def prepare(self, lines: Iterable[bytes]) -> None:
        """Finds out which of these entries have a patch and their old file here."""
        self._usable = bytearray(len(self._rows))
        for line in lines:
            path = path_of(line)
            number = self._rows.number(path)
            if number is None:
                continue
            patch = self._rows.patch(path, number)
            if patch.repack is not None:
                self._start(parse_entry(line), number)
            elif not patch.old or self._tree.stat(patch.old) is not None:
                self._usable[number] = 1

    def __contains__(self, path: bytes) -> bool:
        number = self._rows.number(path)
        return number is not None and (bool(self._usable[number]) or path in self._begun)

    def get(self, path: bytes) -> Optional[Patched]:
        """How that file is made; None when it is not made by a patch."""
        number = self._rows.number(path)
        if number is None or not self._usable[number]:
            return self._begun.get(path)
        return self._maker(self._rows.patch(path, number), number)

    def close(self) -> None:
        """Nothing is made any more."""
        if self._pool is not None:
            self._pool.shutdown(wait=True)
        self._begun.clear()
        self._held = b""
        self._rows = _Rows((), 0)

    @property
    def _beside(self) -> ThreadPoolExecutor:
        """The thread that packs."""
        if self._pool is None:
            from concurrent.futures import ThreadPoolExecutor  # only here: most updates have no need of it

            self._pool = ThreadPoolExecutor(1, thread_name_prefix="repack")
        return self._pool

    @cached_property
    def _rows(self) -> _Rows:
        if self._id is None:
            return _Rows((), 0)
        try:
            magic, length = HEAD.unpack(self._range(0, HEAD.size))
        except Refused as error:
            if error.status != GONE:
                raise
            return _Rows((), 0)  # the server keeps a few sets only, and an order may have waited
        if magic != MAGIC:
            raise BadInput("patch set: not one")
        return _Rows(rows(self._range(HEAD.size, length)), HEAD.size + length)

    def _maker(self, patch: Patch, number: int) -> Patched:
        def make(entry: Entry) -> Iterator[bytes]:
            if not patch.old:  # the file by itself
                yield from decompress_stream([self._frame(patch, number)])
                return
            frame = self._frame(patch, number)
            with self._opened(patch.old, entry) as (handle, size):
                if max(size, entry.size) <= SMALL:  # a copy costs less than a mapping
                    yield decompress_after(frame, entry.size, os.read(handle, size))
                    return
                with contextlib.closing(mmap.mmap(handle, size, access=mmap.ACCESS_COPY)) as old:
                    yield from self._patched(frame, old, entry.size)

        return make

    def _patched(self, frame: bytes, old: mmap.mmap, size: int) -> Iterator[bytes]:
        """In a file, since neither has to be in memory then."""
        with self._scratch() as file:
            file.truncate(size)
            with contextlib.closing(mmap.mmap(file.fileno(), size)) as made:
                decompress_into(made, frame, old)
                for at in range(0, size, STEP):
                    yield made[at : at + STEP]

    def _start(self, entry: Entry, number: int) -> None:
        """In a thread, once; an error there comes out where the file is asked for. An old file that cannot be
        one (a link, empty) is as good as none.
        """
        patch = self._rows.patch(entry.path, number)
        if patch.repack is None or entry.path in self._begun or self._tree.stat(patch.old) is None:
            return
        frame = self._range(patch.offset, patch.length)
        try:
            with self._opened(patch.old, entry) as (old, size):  # looked up here: one thread alone does that
                handle = os.dup(old)
        except (OSError, BadInput):
            return
        job = self._beside.submit(self._packed, handle, size, frame, patch.repack)

        def make(entry: Entry) -> Iterator[bytes]:
            with job.result() as file:
                file.seek(0)
                while piece := file.read(STEP):
                    yield piece

        self._begun[entry.path] = make

    def _packed(self, handle: int, size: int, frame: bytes, recipe: Recipe) -> IO[bytes]:
        """The whole file, in a scratch file."""
        out = self._scratch()
        try:
            with contextlib.closing(mmap.mmap(handle, size, access=mmap.ACCESS_COPY)) as old:
                for piece in self._repacked(frame, old, recipe):
                    out.write(piece)
        except BaseException:
            out.close()
            raise
        finally:
            os.close(handle)
        return out

    def _repacked(self, frame: bytes, old: mmap.mmap, recipe: Recipe) -> Iterator[bytes]:
        """The old file is unpacked beside our state, where there is more room than in memory."""
        with self._scratch() as raw:
            for piece in decompress_stream(old[at : at + AHEAD] for at in range(0, len(old), AHEAD)):
                raw.write(piece)
            raw.flush()
            if not raw.tell():
                raise BadInput("nothing is in the old file")
            with contextlib.closing(mmap.mmap(raw.fileno(), 0, access=mmap.ACCESS_COPY)) as before:
                yield from compress(self._patched(frame, before, recipe.size), recipe)

    def _scratch(self) -> IO[bytes]:
        return tempfile.TemporaryFile(dir=str(self._tree.root / HOME))

    @contextlib.contextmanager
    def _opened(self, path: bytes, entry: Entry) -> Iterator[Tuple[int, int]]:
        """The old file, and its size as far as it is the image's: an initramfs may have a part of this
        machine's after it.
        """
        handle = self._tree.open_file(path)
        try:
            size = os.fstat(handle).st_size
            if path in self._base:
                size = min(size, parse_entry(self._base[path]).size)
            if not size:
                raise BadInput(f"{entry.name}: its old file is empty")
            yield handle, size
        finally:
            os.close(handle)

    def _frame(self, patch: Patch, number: int) -> bytes:
        """The patch's bytes; those that follow it and are wanted too come along."""
        begin = patch.offset - self._at
        if begin < 0 or begin + patch.length > len(self._held):
            size, lengths = patch.length, self._rows.lengths
            for other in range(number + 1, len(lengths)):
                if not self._usable[other] or size + lengths[other] > AHEAD:
                    break
                size += lengths[other]
            self._held, self._at = self._range(patch.offset, size), patch.offset
            begin = 0
        return self._held[begin : begin + patch.length]

    def _range(self, start: int, length: int) -> bytes:
        data = self._client.get_range(f"/store/patches/{self._id}", start, length)
        self.fetched += len(data)
        return data
