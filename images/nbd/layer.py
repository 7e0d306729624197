"""What one node has written: a sparse file as large as its device, and a bit per sector for what it holds.

    FOLDER/layer.json   of what it is the layer      FOLDER/data   the sectors
    FOLDER/marks        a page with the number of its present owner, then a bit per sector as of now
    FOLDER/kept         the same bits as of the last FLUSH     FOLDER/boot   the boot that `marks` belongs to

Law: what was written is there for the next reader although we are killed (marks and data are the kernel's
by then), and what was flushed is there although the power fails: FLUSH forces the data to disk before the
bits that speak of it. After a power cut `marks`, whose bits may have reached the disk without their data,
is not believed; `kept` is. One connection owns a layer; a newer one takes it over, because a machine that
comes back is sooner here than the news that its old connection is dead.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import json
import mmap
import os
import shutil
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

from images.disk import sync_dir, write_file
from images.errors import ImageConflict, ImageError

SECTOR = 512
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_PUNCH = 1 | 2  # FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE
_PAGE = mmap.PAGESIZE
_ZEROS = bytes(1 << 20)


class LayerFull(ImageError):
    """It holds as much as it may."""


class LayerTaken(ImageError):
    """Somebody else owns it now."""


class Layer:
    """An open layer. Not shared between threads, but for `flush`. Raises OSError throughout."""

    def __init__(self, folder: Path, size: int, limit: int) -> None:
        """Take it over from whoever has it. Raises LayerTaken while that one has not let go: try again."""
        self.size, self.limit, self.folder = size, limit, folder
        self._length = _bits(size)
        self._marks_fd = os.open(folder / "marks", os.O_RDWR | os.O_CLOEXEC)
        self.fd = self._kept_fd = -1
        self._flushing = threading.Lock()
        self._table: mmap.mmap | None = None
        try:
            table = mmap.mmap(self._marks_fd, _PAGE + self._length)
            self._table, self._marks = table, memoryview(table)[_PAGE:]
            self._number = self._owner() + 1
            table[:8] = struct.pack("<Q", self._number)
            self._lock_or_leave()
            self.fd = os.open(folder / "data", os.O_RDWR | os.O_CLOEXEC)
            self._kept_fd = os.open(folder / "kept", os.O_RDWR | os.O_CLOEXEC)
            self._dirty = set(self._differing())  # pages of bits that the last FLUSH does not know
        except BaseException:
            self.close()
            raise

    def _differing(self) -> Iterator[int]:
        for page in range(-(-self._length // _PAGE)):
            now = self._page(page)
            if os.pread(self._kept_fd, len(now), page * _PAGE) != now:
                yield page

    def _page(self, number: int) -> bytes:
        return bytes(self._marks[number * _PAGE : (number + 1) * _PAGE])

    def _lock_or_leave(self) -> None:
        try:
            fcntl.flock(self._marks_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LayerTaken(f"{self.folder} is in use by an older connection") from None

    def _owner(self) -> int:
        assert self._table is not None
        return int(struct.unpack_from("<Q", self._table)[0])

    @property
    def superseded(self) -> bool:
        """Whether a newer connection wants it: close this one."""
        return self._owner() != self._number

    @property
    def used(self) -> int:
        """Bytes of disk it takes."""
        return os.fstat(self.fd).st_blocks * 512

    def close(self) -> None:
        """Let the next one have it; not while it is being flushed."""
        with self._flushing:
            if self._table is not None:  # it has a descriptor of its own, and with it the lock
                self._marks.release()
                self._table.close()
            for fd in (self._marks_fd, self.fd, self._kept_fd):
                if fd >= 0:
                    os.close(fd)
            self._marks_fd = self.fd = self._kept_fd = -1

    def stretches(self, offset: int, length: int) -> list[tuple[int, int, bool]]:
        """(start, end, whether it is here) of these bytes, in order. `offset` and `length` are of sectors."""
        first, last = offset // SECTOR, -(-(offset + length) // SECTOR)
        bits = int.from_bytes(self._marks[first // 8 : -(-last // 8)], "little") >> first % 8
        count, place, out = last - first, 0, []
        while place < count:
            here = bool(bits & 1)
            run = _ones(bits) if here else _ones(~bits)
            run = min(run, count - place)
            out.append(((first + place) * SECTOR, min((first + place + run) * SECTOR, offset + length), here))
            bits >>= run
            place += run
        return out

    def write(self, offset: int, data: bytes | memoryview) -> None:
        """Raises LayerFull. Zeros take no room: whoever makes a file system writes many."""
        view = memoryview(data)
        if view == _ZEROS[: len(view)]:
            self.zero(offset, len(view))
            return
        self._check_room(offset, len(view))
        place = offset
        while view:
            done = os.pwrite(self.fd, view, place)
            view, place = view[done:], place + done
        self._mark(offset, len(data))

    def zero(self, offset: int, length: int) -> None:
        """These bytes are zeros from now on, and take no room."""
        if not _punch(self.fd, offset, length):
            for place in range(offset, offset + length, len(_ZEROS)):
                part = memoryview(_ZEROS)[: min(len(_ZEROS), offset + length - place)]
                self._check_room(place, len(part))
                os.pwrite(self.fd, part, place)
        self._mark(offset, length)

    def flush(self) -> None:
        """All that was written before is on disk when it returns. For a thread: it waits for the disk."""
        with self._flushing:
            dirty, self._dirty = self._dirty, set()
            try:
                bits = {page: self._page(page) for page in dirty}
                os.fdatasync(self.fd)
                for page, now in bits.items():
                    os.pwrite(self._kept_fd, now, page * _PAGE)
                if bits:
                    os.fdatasync(self._kept_fd)
            except BaseException:
                self._dirty |= dirty
                raise

    def _check_room(self, offset: int, length: int) -> None:
        used = self.used
        if used + length <= self.limit:
            return
        new = sum(end - start for start, end, here in self.stretches(offset, length) if not here)
        if used + new > self.limit:
            raise LayerFull(f"it holds {used >> 20} MiB of the {self.limit >> 20} MiB that it may")

    def _mark(self, offset: int, length: int) -> None:
        first, last = offset // SECTOR, -(-(offset + length) // SECTOR)
        low, high = first // 8, -(-last // 8)
        bits = int.from_bytes(self._marks[low:high], "little") | ((1 << last - first) - 1) << first % 8
        self._marks[low:high] = bits.to_bytes(high - low, "little")
        self._dirty.update(range(low // _PAGE, (high - 1) // _PAGE + 1))


def _ones(bits: int) -> int:
    """How many of the lowest bits are set; a negative number has them without end."""
    rest = ~bits
    return (rest & -rest).bit_length() - 1 if rest else 1 << 62


def open_layer(folder: Path, of: str, size: int, limit: int) -> Layer:
    """The layer that belongs to `of` (a version's id, or a word for an empty device), made when it is not
    there, and at least `size` bytes large: it grows, and never shrinks.

    Raises ImageConflict when it belongs to something else, LayerTaken (try again), OSError.
    """
    facts = {"of": of}
    known = folder / "layer.json"
    if not known.exists():
        _make(folder, facts)
    if json.loads(known.read_bytes()) != facts:
        raise ImageConflict(f"{folder} was made for another version; throw it away first")
    _settle(folder)
    return Layer(folder, _grown(folder, size), limit)


def _bits(size: int) -> int:
    """Bytes of a bit per sector."""
    return -(-size // SECTOR // 8)


def _make(folder: Path, facts: dict[str, str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("data", "kept", "marks"):
        (folder / name).write_bytes(b"")
    write_file(folder / "boot", _BOOT_ID.read_bytes())
    write_file(folder / "layer.json", json.dumps(facts).encode())  # last: now it is one
    sync_dir(folder.parent)


def _grown(folder: Path, size: int) -> int:
    """Make it that large, if it is smaller; how large it is. The data last: that tells its size."""
    size = max(size, (folder / "data").stat().st_size)
    for name, length in (("kept", _bits(size)), ("marks", _PAGE + _bits(size)), ("data", size)):
        with (folder / name).open("r+b") as file:
            if os.fstat(file.fileno()).st_size < length:
                file.truncate(length)
                os.fsync(file.fileno())
    return size


def _settle(folder: Path) -> None:
    """After a power cut only what was flushed counts."""
    now = _BOOT_ID.read_bytes()
    if (folder / "boot").read_bytes() == now:
        return
    with (folder / "marks").open("r+b") as marks:
        fcntl.flock(marks, fcntl.LOCK_EX)
        if (folder / "boot").read_bytes() != now:
            marks.seek(_PAGE)
            marks.write((folder / "kept").read_bytes())
            marks.flush()
            os.fsync(marks.fileno())
            write_file(folder / "boot", now)


def discard(folder: Path) -> None:
    """Throw a layer away. Who has it open goes on with what nobody will see again."""
    gone = folder.with_name(f".{folder.name}.{os.getpid()}.gone")
    try:
        folder.rename(gone)
    except FileNotFoundError:
        return
    shutil.rmtree(gone)


def size_of(folder: Path) -> int:
    """Bytes of disk that a layer takes; 0 when there is none."""
    try:
        return (folder / "data").stat().st_blocks * 512
    except FileNotFoundError:
        return 0


_libc = ctypes.CDLL(None, use_errno=True)
_libc.fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)


def _punch(fd: int, offset: int, length: int) -> bool:
    """False where the file system cannot."""
    if _libc.fallocate(fd, _PUNCH, offset, length) == 0:
        return True
    number = ctypes.get_errno()
    if number in (errno.EOPNOTSUPP, errno.ENOSYS):
        return False
    raise OSError(number, os.strerror(number))
