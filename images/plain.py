"""`python -m images.plain STORE ID FOLDER`: what of a version is kept as patches, once more without them, for
nodes: a machine that has nothing would fetch a patch and what it starts from, which is more.

    FOLDER/ID/PACK.pack      chunks of the version with that manifest id, each in a plain frame
    FOLDER/ID/STAMP.locator  the version's locator with these, made from the store's own as it was then

Law: a cache beside the store, which is only read. Each chunk was checked before it is written here, and each
run checks what is there by its hashes. Nothing in it is needed: without it nodes get the store's own locator,
and resolve patches themselves; so it never takes the last of a disk's room. A process of its own, since it
packs for some seconds.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from images.alone import ended
from images.disk import write_file
from images.errors import BadInput
from images.fetch import PackSource
from images.locator import PATCH, Locator
from images.locator_writer import written
from images.pack import SUFFIX, FrameRow, read_frames, read_trailer
from images.packstream import PackStream
from images.shelf import Shelf

UNUSED = 86400.0  # seconds that the copies of a version stay after somebody asked for them
RESERVE, SHARE = 1 << 30, 0.05  # bytes that stay free on the disk, or of a small one that part
LOCATOR = ".locator"


class _There(NamedTuple):
    pack: bytes
    row: FrameRow
    inner: int
    length: int


def stamp(stat: os.stat_result) -> str:
    """Tells one writing of a file from the next."""
    return f"{stat.st_mtime_ns:x}-{stat.st_ino:x}"


def locator_file(home: Path, stat: os.stat_result) -> Path:
    """Where a version's locator without patches lies in its folder of copies; `stat` is of the store's."""
    return home / (stamp(stat) + LOCATOR)


def make(shelf: Shelf, id: str, folder: Path) -> None:
    """Copy what is lacking of the version with that manifest id, and write its locator; drop copies that
    nobody has used for long, or that are damaged. Raises ImageError, OSError.
    """
    tidy(folder, time.time())
    home = folder / id
    home.mkdir(mode=0o750, parents=True, exist_ok=True)
    for left in home.glob("*.tmp"):
        left.unlink(missing_ok=True)
    shelf.locator(id)  # made anew where it is gone
    with (shelf.locators / id).open("rb") as file:
        stat, locator = os.fstat(file.fileno()), Locator.parse(file.read())
    try:
        _copy(shelf, locator, home)
        path, data = locator_file(home, stat), _merged(locator, _copies(home))
        if not path.is_file() or path.read_bytes() != data:
            write_file(path, data)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            shutil.rmtree(home, ignore_errors=True)
        raise
    for old in home.glob("*" + LOCATOR):
        if old != path:
            old.unlink(missing_ok=True)
    os.utime(home)


def tidy(folder: Path, now: float) -> None:
    """Remove the copies of versions that nobody has asked for in `UNUSED` seconds."""
    for home in folder.iterdir() if folder.is_dir() else ():
        with suppress(FileNotFoundError):  # another was quicker
            if home.stat().st_mtime < now - UNUSED:
                shutil.rmtree(home, ignore_errors=True)


def _copy(shelf: Shelf, locator: Locator, home: Path) -> None:
    there = _copies(home)
    wanted, size = [], 0
    for number in range(len(locator)):
        place, chunk = locator.place(number), locator.id(number)
        if locator.frame(place.frame).codec == PATCH and chunk not in there:
            wanted.append((place.frame, place.inner, chunk))
            size += place.length
    _check_room(home, size)
    ids = [chunk for _, _, chunk in sorted(wanted)]
    stream = PackStream(home, home)
    try:
        for chunk, data in zip(ids, PackSource(locator, shelf.read_range).stream(ids), strict=True):
            stream.add(chunk, data)
        stream.flush()
    finally:
        stream.close()


def _check_room(home: Path, size: int) -> None:
    info = os.statvfs(home)
    free = info.f_bavail * info.f_frsize
    if size and free - size < min(RESERVE, int(info.f_blocks * info.f_frsize * SHARE)):
        text = f"copies for nodes take up to {size} bytes, which the disk has not to spare"
        raise OSError(errno.ENOSPC, text, str(home))


def _merged(locator: Locator, there: dict[bytes, _There]) -> bytes:
    """The locator of a version whose patches are replaced by their copies. Raises BadInput when one is not
    there.
    """
    packs: dict[bytes, int] = {}
    frames: dict[tuple[bytes, int], int] = {}
    table: list[tuple[int, int, int, int, int]] = []
    places: tuple[list[int], list[int], list[int]] = ([], [], [])
    ids = [locator.id(number) for number in range(len(locator))]
    for number, id in enumerate(ids):
        place = locator.place(number)
        pack, *row = locator.frame(place.frame)
        key, inner = (bytes.fromhex(pack), row[0]), place.inner
        if row[3] == PATCH:
            copy = there.get(id)
            if copy is None:
                raise BadInput(f"the copy of chunk {id.hex()} has gone again")
            key, row, inner = (copy.pack, copy.row.offset), list(copy.row[:4]), copy.inner
        if key not in frames:
            frames[key] = len(table)
            offset, stored, raw, codec = row
            table.append((packs.setdefault(key[0], len(packs)), offset, stored, raw, codec))
        for column, value in zip(places, (frames[key], inner, place.length), strict=True):
            column.append(value)
    return written(locator.manifest, list(packs), table, ids, places, [])


def _copies(home: Path) -> dict[bytes, _There]:
    """Every chunk that is whole here; a pack with damage is removed."""
    found: dict[bytes, _There] = {}
    for path in sorted(home.glob("*" + SUFFIX)):
        try:
            trailer = read_trailer(path)
            for number, stored in read_frames(path, trailer):
                if hashlib.sha256(stored).digest() != trailer.frames[number].digest:
                    raise BadInput(f"{path}: damaged")
        except FileNotFoundError:
            continue
        except BadInput:  # it is made again
            path.unlink(missing_ok=True)
            continue
        for row in trailer.chunks:
            found[row.id] = _There(trailer.id, trailer.frames[row.frame], row.inner, row.length)
    return found


def main() -> int:
    """Exit code 1 with one line on stderr when it cannot be made."""
    root, id, folder = sys.argv[1:]
    return ended(lambda: make(Shelf.open(Path(root), create=False), id, Path(folder)))


if __name__ == "__main__":
    sys.exit(main())
