"""`python -m images.nbd.building STORE ID TARGET`: makes a version's volume file from its manifest.

A process of its own: a tree of 200,000 files takes some hundred megabytes for some seconds, which who serves
must not keep. The same manifest gives the same file.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from images.alone import ended
from images.blocks import regions
from images.erofs.layout import Run, lay_out, runs_of
from images.errors import BadInput, ImageError
from images.nbd import volume
from images.nbd.volume import Piece, Volume
from images.sealed import SealedManifest
from images.shelf import Shelf

SUFFIX = ".volume"
_SECONDS = 600.0


def opened(shelf: Shelf, id: str, folder: Path) -> Volume:
    """The volume of the version with that manifest id; made when it is not there or damaged.

    Raises ImageError with the reason when it cannot be made, OSError.
    """
    path = folder / (id + SUFFIX)
    try:
        return volume.load(path, id)
    except (FileNotFoundError, BadInput):
        pass
    fd = os.open(folder / f"{id}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)  # another process of ours may be at it
        try:
            return volume.load(path, id)
        except (FileNotFoundError, BadInput):
            _build(shelf, id, path)
        return volume.load(path, id)
    finally:
        os.close(fd)


def _build(shelf: Shelf, id: str, path: Path) -> None:
    command = ["setpriv", "--pdeathsig", "KILL", "--", sys.executable, "-m", "images.nbd.building"]
    done = subprocess.run(
        [*command, str(shelf.root), id, str(path)], capture_output=True, text=True, timeout=_SECONDS
    )
    if done.returncode:
        raise ImageError(f"version {id[:12]} cannot be exported: {done.stderr.strip()[-300:]}")


def build(shelf: Shelf, id: str, path: Path) -> None:
    """Make it here. Raises BadInput for what cannot be a device, and as `Shelf.manifest`."""
    manifest = shelf.manifest(id)
    if manifest.header.kind == regions.KIND:
        size, head = int(regions.shape_of(manifest.header)["size"]), b""
        runs: Iterable[Run] = _disk(manifest)
    else:
        layout = lay_out(manifest.header, id, manifest.entries())
        size, head, runs = layout.size, layout.head, layout.runs
    numbers = {one: number for number, one in enumerate(sorted({c.id for c in manifest.chunks()}))}
    rows = (Piece(run.start, run.length, numbers[run.chunk.id], run.skip) for run in runs)
    volume.save(path, id, size, head, rows, path.parent)


def _disk(manifest: SealedManifest) -> Iterator[Run]:
    """A disk's regions, which are sparse files."""
    for base, entry in regions.read_regions(manifest.header, manifest.entries()):
        places = [(base + offset, length) for offset, length in entry.extents or ((0, entry.size),)]
        yield from runs_of(entry.chunks, places)


def main() -> int:
    """Exit code 1 with one line on stderr when it cannot be made."""
    root, id, path = sys.argv[1:]
    return ended(lambda: build(Shelf.open(Path(root), create=False), id, Path(path)))


if __name__ == "__main__":
    sys.exit(main())
