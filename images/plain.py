"""`python -m images.plain STORE ID FOLDER`: what of a version is kept as patches, once more without them, for
nodes: a machine that has nothing would fetch a patch and what it starts from, which is more.

    FOLDER/ID/PACK.pack    chunks of the version with that manifest id, each in a plain frame

Law: a cache beside the store, which is only read. Each chunk was checked before it is written here. Nothing
in it is needed: without it nodes get the store's own locator, and resolve patches themselves. A process of
its own, since it packs for some seconds.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from images.errors import BadInput, ImageError
from images.fetch import PackSource
from images.locator import PATCH, Locator
from images.locator_writer import written
from images.pack import SUFFIX, FrameRow, read_trailer
from images.packstream import PackStream
from images.shelf import Shelf

UNUSED = 86400.0  # seconds that the copies of a version stay after somebody asked for them


class _There(NamedTuple):
    pack: bytes
    row: FrameRow
    inner: int
    length: int


def merged(locator: Locator, folder: Path) -> bytes | None:
    """The locator (bytes) of a version whose patches are replaced by their copies in FOLDER; None when a
    copy is not there. Raises OSError.
    """
    there = _copies(folder / locator.manifest)
    packs: dict[bytes, int] = {}
    frames: dict[tuple[bytes, int], int] = {}
    table: list[tuple[int, int, int, int, int]] = []
    places: list[tuple[int, int, int]] = []
    ids = [locator.id(number) for number in range(len(locator))]
    for number, id in enumerate(ids):
        place = locator.place(number)
        pack, *row = locator.frame(place.frame)
        key, inner = (bytes.fromhex(pack), row[0]), place.inner
        if row[3] == PATCH:
            copy = there.get(id)
            if copy is None:
                return None
            key, row, inner = (copy.pack, copy.row.offset), list(copy.row[:4]), copy.inner
        if key not in frames:
            frames[key] = len(table)
            offset, stored, raw, codec = row
            table.append((packs.setdefault(key[0], len(packs)), offset, stored, raw, codec))
        places.append((frames[key], inner, place.length))
    with suppress(FileNotFoundError):
        os.utime(folder / locator.manifest)
    return written(locator.manifest, list(packs), table, ids, places, [])


def make(shelf: Shelf, id: str, folder: Path) -> None:
    """Copy what is lacking of the version with that manifest id; drop copies that nobody has used for long.
    Raises ImageError, OSError.
    """
    _tidy(folder, time.time())
    home = folder / id
    home.mkdir(mode=0o750, parents=True, exist_ok=True)
    for left in home.glob("*.tmp"):
        left.unlink(missing_ok=True)
    locator = Locator.parse(shelf.locator(id))
    there = _copies(home)
    wanted = []
    for number in range(len(locator)):
        place, chunk = locator.place(number), locator.id(number)
        if locator.frame(place.frame).codec == PATCH and chunk not in there:
            wanted.append((place.frame, place.inner, chunk))
    ids = [chunk for _, _, chunk in sorted(wanted)]
    stream = PackStream(home, home)
    try:
        for chunk, data in zip(ids, PackSource(locator, shelf.read_range).stream(ids), strict=True):
            stream.add(chunk, data)
        stream.flush()
    finally:
        stream.close()


def _copies(home: Path) -> dict[bytes, _There]:
    found: dict[bytes, _There] = {}
    for path in home.glob("*" + SUFFIX):
        try:
            trailer = read_trailer(path)
        except (BadInput, FileNotFoundError):  # it is made again
            continue
        for row in trailer.chunks:
            found[row.id] = _There(trailer.id, trailer.frames[row.frame], row.inner, row.length)
    return found


def _tidy(folder: Path, now: float) -> None:
    for home in folder.iterdir() if folder.is_dir() else ():
        if home.stat().st_mtime < now - UNUSED:
            shutil.rmtree(home, ignore_errors=True)


def main() -> int:
    """Exit code 1 with one line on stderr when it cannot be made."""
    root, id, folder = sys.argv[1:]
    os.umask(0o007)
    try:
        make(Shelf.open(Path(root), create=False), id, Path(folder))
    except (ImageError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
