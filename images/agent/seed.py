"""What the disk held before this imaging, as a source of chunks and of whole files.

What the image has no use for where it is was moved into a folder of its own (inplace/aside.py). There each
file is looked up by the manifests that may describe it: the version that ran here, and the one that a
broken-off imaging was writing. The law: nothing is believed; a file or chunk is used only after its sha256
was checked, and no link in the old tree is followed. Python 3.8, standard library only.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections import deque
from collections.abc import Container, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from images.agent.inplace.flags import ENCRYPTED, SETTABLE, VERITY, clear_flags, flags_of
from images.manifest import Chunk, Entry
from images.tree_writer import fit_attributes

FILES, BYTES = 32, 4 << 20  # read in one go by one thread
READERS = max(2, min(4, os.cpu_count() or 1))
_DIR = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Bed:
    """One folder that holds an old tree (or the part of it below `prefix`). Opens its files safely."""

    def __init__(self, base: Path, prefix: bytes = b"") -> None:
        self._base = os.open(str(base), _DIR)
        self.prefix = prefix
        self._last: tuple[bytes, int] | None = None

    def inside(self, path: bytes) -> bytes | None:
        """The path within this bed; None when it belongs elsewhere."""
        if not self.prefix:
            return path
        return path[len(self.prefix) + 1 :] if path.startswith(self.prefix + b"/") else None

    def folder(self, path: bytes) -> int:
        """The open directory of that file. Valid until the next call. Raises OSError."""
        name = path.rpartition(b"/")[0]
        if self._last is not None and self._last[0] == name:
            return self._last[1]
        handle = os.dup(self._base)
        try:
            for part in filter(None, name.split(b"/")):
                handle, old = os.open(part, _DIR, dir_fd=handle), handle
                os.close(old)
        except OSError:
            os.close(handle)
            raise
        self._drop()
        self._last = (name, handle)
        return handle

    def size(self, path: bytes) -> int | None:
        """Bytes of a plain file; None when there is none."""
        try:
            found = os.stat(path.rpartition(b"/")[2], dir_fd=self.folder(path), follow_symlinks=False)
        except OSError:
            return None
        return found.st_size if stat.S_ISREG(found.st_mode) else None

    def open(self, path: bytes) -> int:
        """A file for reading. Raises OSError."""
        return os.open(path.rpartition(b"/")[2], _FILE, dir_fd=self.folder(path))

    def close(self) -> None:
        """Releases the directories."""
        self._drop()
        os.close(self._base)

    def _drop(self) -> None:
        if self._last is not None:
            os.close(self._last[1])
            self._last = None


class _Candidate(NamedTuple):
    """A file that may be good: its number, open, and what it should hold."""

    number: int
    handle: int
    entry: Entry


class _Checked(NamedTuple):
    """The chunks that it does hold, and where; `whole`: it holds nothing else."""

    number: int
    entry: Entry
    good: list[tuple[bytes, int]]
    whole: bool


class Seed:
    """Finds chunks and files in beds. `reused` files and `bytes` tell what came from here."""

    def __init__(self, beds: Sequence[Bed], target: Path, standing: bool = False) -> None:
        """`standing`: what `target` holds already is right, and may be read, too."""
        self._target = Bed(target)  # where a reused file goes, and can still be read
        self._beds = [*beds, self._target] if standing else list(beds)
        self._files: list[tuple[Bed, bytes]] = []  # bed, path in it
        self._where: dict[bytes, tuple[int, int]] = {}  # good chunk -> number of its file, offset
        self._whole: dict[tuple[Chunk, ...], int] = {}  # the chunks of a file that is all good -> its number
        self._handle: tuple[int, int] | None = None  # number of the open file, its descriptor
        self.reused = 0
        self.bytes = 0

    def learn(self, entries: Iterable[Entry], wanted: Container[bytes]) -> None:
        """Reads the files of these entries and notes which of the `wanted` chunks they really hold.

        Several are read at once, so that the disk and each processor have work; what is of no use is not.
        """
        jobs: deque[Future[list[_Checked]]] = deque()
        batch: list[_Candidate] = []
        with ThreadPoolExecutor(READERS, thread_name_prefix="seed") as pool:
            try:
                for one in self._candidates(entries, wanted):
                    batch.append(one)
                    if len(batch) >= FILES or sum(each.entry.size for each in batch) >= BYTES:
                        jobs.append(pool.submit(_checked, batch, wanted))
                        batch = []
                        while len(jobs) > 2 * READERS:
                            self._note(jobs.popleft().result())
                jobs.append(pool.submit(_checked, batch, wanted))
                batch = []
                while jobs:
                    self._note(jobs.popleft().result())
            finally:
                for each in batch:
                    os.close(each.handle)

    def _candidates(self, entries: Iterable[Entry], wanted: Container[bytes]) -> Iterator[_Candidate]:
        """Each file that may hold something wanted."""
        asked: set[bytes] = set()
        for entry in entries:
            if entry.type != "file" or not entry.chunks or entry.chunks in self._whole:
                continue
            # One by one: a difference with all that is known costs as much as that is, for each file.
            new = (c.id for c in entry.chunks if c.id not in asked and c.id not in self._where)
            fresh = {id for id in new if id in wanted}
            if not fresh and not all(c.id in wanted for c in entry.chunks):
                continue
            for bed in self._beds:
                path = bed.inside(entry.path)
                # A longer one too: a machine's own files were appended to its initramfs.
                if path is None or (bed.size(path) or 0) < entry.size:
                    continue
                try:
                    handle = bed.open(path)
                except OSError:
                    continue
                self._files.append((bed, path))
                yield _Candidate(len(self._files) - 1, handle, entry)
            asked |= fresh

    def _note(self, files: Iterable[_Checked]) -> None:
        for number, entry, good, whole in files:
            for id, offset in good:
                self._where.setdefault(id, (number, offset))
            if whole:
                self._whole.setdefault(entry.chunks, number)

    def holds(self, id: bytes) -> bool:
        """Whether the chunk was found."""
        return id in self._where

    def read(self, chunk: Chunk) -> bytes | None:
        """The chunk's bytes, checked once more; None when the disk says something else by now."""
        number, offset = self._where[chunk.id]
        try:
            data = os.pread(self._open(number), chunk.length, offset)
        except OSError:
            return None
        if hashlib.sha256(data).digest() != chunk.id:
            return None
        self.bytes += len(data)
        return data

    def take(self, entry: Entry, name: bytes, parent: int) -> bool:
        """Moves a whole old file to its new place, if one has exactly this content."""
        number = self._whole.get(entry.chunks) if entry.extents is None else None
        if number is None:
            return False
        bed, path = self._files[number]
        if bed is self._target:
            return False
        try:
            handle = bed.open(path)
        except OSError:
            return False
        try:
            found = os.fstat(handle)
            if found.st_nlink != 1 or found.st_size != entry.size or found.st_blocks * 512 < found.st_size:
                return False
            flags = flags_of(handle)
            if flags & (ENCRYPTED | VERITY):
                return False
            if flags & SETTABLE:
                clear_flags(handle, flags)
            try:
                os.rename(path.rpartition(b"/")[2], name, src_dir_fd=bed.folder(path), dst_dir_fd=parent)
            except OSError as error:
                if error.errno != errno.EXDEV:  # another file system of the same tree
                    raise
                return False
            fit_attributes(entry, handle, found)
        finally:
            os.close(handle)
        self._files[number] = (self._target, entry.path)
        self.reused += 1
        self.bytes += entry.size
        return True

    def _open(self, number: int) -> int:
        if self._handle is None or self._handle[0] != number:
            self._shut()
            bed, path = self._files[number]
            self._handle = (number, bed.open(path))
        return self._handle[1]

    def _shut(self) -> None:
        if self._handle is not None:
            os.close(self._handle[1])
            self._handle = None

    def close(self) -> None:
        """Releases everything."""
        self._shut()
        for bed in dict.fromkeys((*self._beds, self._target)):
            bed.close()


def _checked(files: Iterable[_Candidate], wanted: Container[bytes]) -> list[_Checked]:
    """Reads them, and closes them."""
    return [_check(one, wanted) for one in files]


def _check(file: _Candidate, wanted: Container[bytes]) -> _Checked:
    good: list[tuple[bytes, int]] = []
    whole = file.entry.extents is None  # a hole could hide old data
    try:
        whole = whole and os.fstat(file.handle).st_size == file.entry.size
        for chunk, offset in _places(file.entry):
            data = os.pread(file.handle, chunk.length, offset) if chunk.id in wanted else b""
            if data and hashlib.sha256(data).digest() == chunk.id:
                good.append((chunk.id, offset))
            else:
                whole = False
    except OSError:  # a bad place on the disk: what was read so far is good
        whole = False
    finally:
        os.close(file.handle)
    return _Checked(file.number, file.entry, good, whole)


def _places(entry: Entry) -> Iterator[tuple[Chunk, int]]:
    """Each chunk and where in the file it starts; not those of a sparse file that a hole divides."""
    chunks, done = iter(entry.chunks), 0  # bytes of the chunk at hand that are behind us
    for offset, length in entry.extents or ((0, entry.size),):
        while length > 0:
            if done == 0:
                chunk = next(chunks)
            part = min(length, chunk.length - done)
            if part == chunk.length:
                yield chunk, offset
            offset, length, done = offset + part, length - part, (done + part) % chunk.length
