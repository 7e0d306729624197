"""Packs a finished tree into the compressed archive that the kernel unpacks.

zstd, because kernels unpack it several times faster than xz, which matters more on a node than the last
megabyte. The window stays within what the kernel's own decoder takes (128 MiB); no checksum frame is asked
for by it.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import zstandard

from images.imager.cpio import Entry, archive

LEVEL = 19


def entries(stage: Path) -> Iterator[Entry]:
    """The tree in order of path, parents first, owned by root; /dev/console first."""
    yield Entry("dev", stat.S_IFDIR | 0o755)
    yield Entry("dev/console", stat.S_IFCHR | 0o600, device=(5, 1))
    yield Entry("dev/null", stat.S_IFCHR | 0o666, device=(1, 3))
    for path in sorted(_walk(stage)):
        name = str(path.relative_to(stage))
        status = path.lstat()
        if name == "dev" or name.startswith("dev/"):
            continue
        if stat.S_ISLNK(status.st_mode):
            yield Entry(name, stat.S_IFLNK | 0o777, str(path.readlink()).encode())
        elif stat.S_ISDIR(status.st_mode):
            yield Entry(name, stat.S_IFDIR | 0o755)
        else:
            yield Entry(name, stat.S_IFREG | (0o755 if status.st_mode & 0o111 else 0o644), source=path)


def _walk(stage: Path) -> Iterator[Path]:
    for folder, names, files in os.walk(stage):
        yield from (Path(folder, name) for name in (*names, *files))


def pack(stage: Path, target: Path) -> tuple[int, int, str, int]:
    """Writes `target` whole or not at all; returns unpacked bytes, files, sha256 and packed bytes."""
    temporary = target.with_name(target.name + ".new")
    digest, unpacked = hashlib.sha256(), 0
    listed = list(entries(stage))
    compressor = zstandard.ZstdCompressor(level=LEVEL, threads=-1, write_content_size=False).compressobj()
    with temporary.open("wb") as out:
        for piece in archive(listed):
            unpacked += len(piece)
            packed = compressor.compress(piece)
            digest.update(packed)
            out.write(packed)
        packed = compressor.flush()
        packed += bytes(-(out.tell() + len(packed)) % 4)  # the next archive starts on a multiple of four
        digest.update(packed)
        out.write(packed)
        out.flush()
        os.fsync(out.fileno())
    temporary.replace(target)
    return unpacked, len(listed), digest.hexdigest(), target.stat().st_size
