"""A version's EROFS image as a file: what layout.py maps, written out and read once more.

For those who mount it here. Every chunk is checked on its way (fetch.py). The file has the version's id as
its UUID, so what the kernel derives from it (NFS file handles) stays the same when it is made again. Law:
it appears under its name when it is whole and on disk, or not at all.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from images.disk import create, publish_file, temp_path
from images.erofs.layout import Layout, Run, lay_out
from images.errors import BadInput, ChunkCorrupt, ImageError
from images.fetch import ChunkSource
from images.progress import Progress, silent
from images.sealed import SealedManifest
from images.shelf import Shelf

_STEP = 1 << 20


def write_image(
    manifest: SealedManifest, source: ChunkSource, target: Path, progress: Progress = silent
) -> list[str]:
    """Write the tree's image to `target`; returns what EROFS cannot hold, for a person.

    Raises BadInput for a version that is no tree, ChunkMissing, ChunkCorrupt, OSError (disk full).
    """
    if manifest.header.kind != "tree":
        raise BadInput(f"{manifest.header.name}@{manifest.header.number} is a disk: it has no files to share")
    layout = lay_out(manifest.header, manifest.id, manifest.entries())
    temp = temp_path(target.parent, target.name)
    try:
        fd = create(temp)
        try:
            digest = _write(fd, layout, source, progress)
            os.fsync(fd)
            _read_back(fd, layout, digest)
        finally:
            os.close(fd)
        publish_file(temp, target)
    except BaseException:
        temp.unlink(missing_ok=True)
        raise
    return layout.left_out


def _write(fd: int, layout: Layout, source: ChunkSource, progress: Progress) -> bytes:
    """The head and every run in its place; the digest of what was written."""
    os.ftruncate(fd, layout.size)
    digest = hashlib.sha256(layout.head)
    _put(fd, layout.head, 0)
    done = 0
    total = sum(run.length for run in layout.runs)
    for run, data in _pieces(layout.runs, source):
        _put(fd, data, run.start)
        digest.update(data)
        before, done = done, done + run.length
        if before // _STEP != done // _STEP:
            progress(done, total, "writing files")
    progress(total, total, "written")
    return digest.digest()


def _pieces(runs: list[Run], source: ChunkSource) -> Iterator[tuple[Run, memoryview]]:
    """Neighbouring runs of one chunk take it once."""
    ids = [run.chunk.id for run in runs]
    stream = source.stream(id for number, id in enumerate(ids) if not number or id != ids[number - 1])
    held, view = b"", memoryview(b"")
    for run in runs:
        if run.chunk.id != held:
            held, view = run.chunk.id, memoryview(next(stream, b""))
        part = view[run.skip : run.skip + run.length]
        if len(part) != run.length:
            raise BadInput(f"chunk {run.chunk.id.hex()[:12]} is shorter than promised")
        yield run, part


def _put(fd: int, data: bytes | memoryview, place: int) -> None:
    view = memoryview(data)
    while view:
        done = os.pwrite(fd, view, place)
        view, place = view[done:], place + done


def _read_back(fd: int, layout: Layout, digest: bytes) -> None:
    """From the disk, not from memory: a disk that lies is found before anyone boots from it."""
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    found = hashlib.sha256(os.pread(fd, len(layout.head), 0))
    for run in layout.runs:
        found.update(os.pread(fd, run.length, run.start))
    if found.digest() != digest:
        raise ChunkCorrupt("what was written is not what the disk gives back: look at this disk")


def main() -> int:
    """`python -m images.erofs.writing STORE ID TARGET`: a process of its own, because laying out a large
    tree takes some hundred megabytes for some seconds. Percent on stdout, a line each; exit code 1 with one
    line on stderr."""
    root, id, target = sys.argv[1:]
    os.umask(0o007)
    last = [-1]

    def note(done: int, total: int | None, what: str) -> None:
        percent = min(99, done * 100 // max(total or 1, 1))
        if percent > last[0]:
            last[0] = percent
            sys.stdout.write(f"{percent}\n")
            sys.stdout.flush()

    try:
        shelf = Shelf.open(Path(root), create=False)
        left_out = write_image(shelf.manifest(id), shelf.source(id), Path(target), note)
    except (ImageError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    if left_out:
        sys.stdout.write(f"left out: {', '.join(left_out[:10])}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
