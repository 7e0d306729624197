"""Writes a cpio archive of the "newc" kind, which is what the kernel unpacks as its first root.

Linux Documentation/driver-api/early-userspace/buffer-format.rst. The kernel accepts any number of
archives in a row, compressed or not, padded with zeros to four bytes: so a base system and a small
overlay are joined by appending. The law: same entries in, same bytes out (no clock, no inode numbers,
owner root).
"""

from __future__ import annotations

import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

PIECE = 1 << 20  # bytes read from a file at a time


@dataclass(frozen=True)
class Entry:
    """One file of the archive. `name` has no leading slash. Content is `data`, or is read from `source`."""

    name: str
    mode: int  # with the file type bits
    data: bytes = b""  # content of a file, target of a symlink
    source: Path | None = None
    device: tuple[int, int] = (0, 0)


def directory(name: str, mode: int = 0o755) -> Entry:
    """An empty directory."""
    return Entry(name, stat.S_IFDIR | mode)


def file(name: str, data: bytes, mode: int = 0o644) -> Entry:
    """A regular file with these bytes."""
    return Entry(name, stat.S_IFREG | mode, data)


def symlink(name: str, target: str) -> Entry:
    """A symbolic link."""
    return Entry(name, stat.S_IFLNK | 0o777, target.encode())


def contained(files: Mapping[str, tuple[bytes, int]], there: Iterable[str] = ()) -> Iterator[Entry]:
    """Files (name: content, mode) in the order of their names, each after the folders that it lies in;
    folders of `there` are in the archive already."""
    folders = set(there)
    for name, (data, mode) in sorted(files.items()):
        for parent in reversed(PurePosixPath(name).parents):
            if str(parent) not in (".", *folders):
                folders.add(str(parent))
                yield directory(str(parent))
        yield file(name, data, mode)


def archive(entries: Iterable[Entry]) -> Iterator[bytes]:
    """The archive's bytes, in pieces. Parents must come before their children; a name twice is an error."""
    seen: set[str] = set()
    for inode, entry in enumerate(entries, 1):
        if entry.name in seen or entry.name.startswith("/") or ".." in entry.name.split("/"):
            raise ValueError(f"cpio: bad or repeated name {entry.name!r}")
        seen.add(entry.name)
        size = entry.source.stat().st_size if entry.source else len(entry.data)
        yield _header(entry.name, inode, entry.mode, size, entry.device)
        written = 0
        for piece in _content(entry):
            written += len(piece)
            yield piece
        if written != size:
            raise ValueError(f"cpio: {entry.name} changed while it was read")
        yield bytes(-size % 4)
    yield _header("TRAILER!!!", 0, 0, 0, (0, 0))


def _content(entry: Entry) -> Iterator[bytes]:
    if entry.source is None:
        yield entry.data
        return
    with entry.source.open("rb") as stream:
        while piece := stream.read(PIECE):
            yield piece


def _header(name: str, inode: int, mode: int, size: int, device: tuple[int, int]) -> bytes:
    raw = name.encode() + b"\0"
    links = 2 if stat.S_ISDIR(mode) else 1
    # magic, ino, mode, uid, gid, nlink, mtime, filesize, devmajor, devminor, rdevmajor, rdevminor,
    # namesize, check
    numbers = (inode, mode, 0, 0, links, 0, size, 0, 0, device[0], device[1], len(raw), 0)
    header = b"070701" + b"".join(b"%08X" % n for n in numbers) + raw
    return header + bytes(-len(header) % 4)
