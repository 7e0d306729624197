"""What was unpacked and checked, kept on disk for all processes that serve: sparse files that the page cache
holds, so that a thousand clients of one version share one copy and bytes go out by sendfile.

    ROOT/ID/NNNNNN    one segment of the device of version ID, 64 MiB; behind its data a table: one byte per
                      block of 4 KiB (1: it is here), the time of last use, and whether it was given up

Law: a block is marked only after its bytes are written, and nothing in a file ever changes but from absent
to present; a segment is given up by removing its file, never by taking bytes out of it. So whoever has it
open goes on reading true bytes. A file of another boot of this machine is not believed: after a power cut a
mark may have reached the disk without its bytes.
"""

from __future__ import annotations

import mmap
import os
import shutil
import struct
import time
from collections.abc import Iterator
from pathlib import Path

from images.disk import temp_path
from images.errors import ImageError

BLOCK_BITS = 12
BLOCK = 1 << BLOCK_BITS
SHIFT = 26
SEGMENT = 1 << SHIFT
BLOCKS = SEGMENT // BLOCK
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_TABLE = BLOCKS + BLOCK
_USED, _GONE = BLOCKS, BLOCKS + 8  # offsets in the table
_NOT, _HERE = b"\0", b"\1"
_LOW = 0.9  # of the limit: how far a full cache is cleared


class Segment:
    """One open segment. `marks` is its table; `marks.find(b"\\0", a, b) < 0` says that blocks a to b are
    here. `data` is what is in it, for system calls only: where the disk fails they say so, and a look from
    here would end the process."""

    __slots__ = ("data", "fd", "marks", "touched")

    def __init__(self, path: Path) -> None:
        self.fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        self.marks = mmap.mmap(self.fd, _TABLE, offset=SEGMENT)
        self.data = memoryview(mmap.mmap(self.fd, SEGMENT, access=mmap.ACCESS_READ))
        self.touched = False

    @property
    def gone(self) -> bool:
        """Whether it was given up: what is here may be read, what is not will never come."""
        return self.marks[_GONE] != 0

    def mark(self, first: int, last: int) -> None:
        """Blocks from `first` up to `last`, exclusive, have been written."""
        self.marks[first:last] = _HERE * (last - first)

    def use(self, now: float) -> None:
        """Note that it is being used, for who decides what is given up."""
        self.marks[_USED : _USED + 8] = struct.pack("<d", now)

    def __del__(self) -> None:
        if hasattr(self, "fd"):
            os.close(self.fd)


class Cache:
    """The directory. `limit` in bytes of disk; exceeded by what is written between two looks (16 MiB)."""

    def __init__(self, root: Path, limit: int) -> None:
        self.root = root
        self.limit = limit

    def prepare(self) -> None:
        """Before the first process serves: drop what another boot of this machine left."""
        mark, now = self.root / "boot", _BOOT_ID.read_bytes()
        if not mark.exists() or mark.read_bytes() != now:
            for folder in self._folders():
                shutil.rmtree(folder, ignore_errors=True)
            self.root.mkdir(parents=True, exist_ok=True)
            mark.write_bytes(now)

    def segment(self, id: str, number: int) -> Segment:
        """That segment of the version with that manifest id, made when it is not there. Raises OSError."""
        path = self.root / id / f"{number:06d}"
        while True:
            try:
                found = Segment(path)
            except FileNotFoundError:
                self._make(path)
                continue
            if not found.gone:
                return found

    def _make(self, path: Path) -> None:
        path.parent.mkdir(exist_ok=True)
        temp = temp_path(path.parent, path.name)
        with temp.open("wb") as file:
            file.truncate(SEGMENT + _TABLE)
            file.seek(SEGMENT + _USED)
            file.write(struct.pack("<d", time.time()))
        try:
            os.link(temp, path)  # whoever comes second finds the first one's
        except FileExistsError:
            pass
        finally:
            temp.unlink()

    def used(self) -> dict[str, int]:
        """Bytes on disk by version."""
        return {
            folder.name: sum(size for _, size, _ in self._segments(folder)) for folder in self._folders()
        }

    def trim(self) -> int:
        """Give up the segments that were used least recently until all is within the limit. Bytes freed."""
        found = sorted(row for folder in self._folders() for row in self._segments(folder))
        held = sum(size for _, size, _ in found)
        freed = 0
        if held <= self.limit:
            return 0
        for _, size, path in found:
            if held - freed <= self.limit * _LOW:
                break
            _give_up(path)
            freed += size
        return freed

    def forget(self, id: str) -> None:
        """Give up all of a version."""
        for _, _, path in list(self._segments(self.root / id)):
            _give_up(path)
        (self.root / id).rmdir()

    def _folders(self) -> Iterator[Path]:
        try:
            yield from (path for path in self.root.iterdir() if path.is_dir())
        except FileNotFoundError:
            return

    @staticmethod
    def _segments(folder: Path) -> Iterator[tuple[float, int, Path]]:
        """(last used, bytes on disk, path)."""
        for path in folder.glob("[0-9]*"):
            try:
                with path.open("rb") as file:
                    file.seek(SEGMENT + _USED)
                    (used,) = struct.unpack("<d", file.read(8))
                    yield used, os.fstat(file.fileno()).st_blocks * 512, path
            except (FileNotFoundError, struct.error):
                continue  # given up meanwhile, or somebody's temporary file


def _give_up(path: Path) -> None:
    try:
        segment = Segment(path)
    except FileNotFoundError:
        return
    path.unlink(missing_ok=True)
    segment.marks[_GONE] = 1


def check_limit(limit: int) -> int:
    """The limit itself. Raises ImageError when it does not hold a few segments."""
    if limit < 4 * SEGMENT:
        raise ImageError(f"a cache of {limit >> 20} MiB is too small; at least {4 * SEGMENT >> 20} MiB")
    return limit
