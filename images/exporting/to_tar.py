"""Out of the store as a tar archive that GNU tar, bsdtar and Docker read.

It keeps everything but sockets, which tar cannot say. xattrs travel as SCHILY.xattr records, ACLs as text
beside them (with the xattr alone GNU tar and bsdtar lose the ACL, and the group has the rights of its mask),
holes as GNU's sparse format 1.0 (GNU tar manual, "PAX Format, Version 1.0"), or as zeros for readers that do
not know it.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from typing import BinaryIO

from images.acl import acl_text
from images.errors import BadInput
from images.exporting.losses import OCI, SQUASHFS, TAR, Losses, in_squashfs
from images.exporting.trees import tree_of
from images.manifest import Entry
from images.pax import ACLS, XATTR, keyword
from images.progress import Progress, silent
from images.store import ImageStore
from images.tree_writer import Written

_TYPES = {
    "dir": tarfile.DIRTYPE, "file": tarfile.REGTYPE, "symlink": tarfile.SYMTYPE, "hardlink": tarfile.LNKTYPE,
    "fifo": tarfile.FIFOTYPE, "char": tarfile.CHRTYPE, "block": tarfile.BLKTYPE,
}  # fmt: skip


def export_tar(
    store: ImageStore, ref: str, out: BinaryIO, progress: Progress = silent, form: str = TAR
) -> Written:
    """Write a version to `out` as an uncompressed PAX archive, in constant memory. `form`: what it becomes
    (losses.py); a container image is without holes, a squashfs only with the attributes that it has.

    Raises ImageNotFound, BadInput, OSError.
    """
    manifest = tree_of(store, ref)
    stream = store.source(ref).stream(chunk.id for chunk in manifest.chunks())
    files = done = 0
    losses, squashfs = Losses(form), form == SQUASHFS
    with tarfile.open(fileobj=out, mode="w|", format=tarfile.PAX_FORMAT, errors="surrogateescape") as tar:
        for entry in manifest.entries():
            losses.see(entry)
            if squashfs:
                entry = entry._replace(xattrs=in_squashfs(entry.xattrs))
            if entry.type != "socket":
                holes = form != OCI and entry.extents is not None
                member = _sparse(entry, squashfs) if holes else _member(entry, squashfs)
                content = _Content(_data(entry, stream) if holes else _whole(entry, stream))
                tar.addfile(member, content if entry.type == "file" else None)
            files += 1
            done += sum(chunk.length for chunk in entry.chunks)
            progress(done, manifest.header.bytes, entry.name)
    return Written(files, done, losses.lines())


def _member(entry: Entry, squashfs: bool = False) -> tarfile.TarInfo:
    info = tarfile.TarInfo(_text(entry.path) or ".")
    info.type = _TYPES[entry.type]
    info.mode, info.uid, info.gid = entry.mode, entry.uid, entry.gid
    info.uname, info.gname = entry.user, entry.group
    info.size, info.linkname = entry.size, _text(entry.target)
    if entry.rdev is not None:
        info.devmajor, info.devminor = entry.rdev
    info.mtime = entry.mtime_ns // 10**9
    if entry.type == "hardlink":
        return info
    records: dict[str, str] = {}
    if entry.mtime_ns % 10**9 or entry.mtime_ns < 0:
        records["mtime"] = f"{'-' * (entry.mtime_ns < 0)}{_decimal(abs(entry.mtime_ns))}"
    for key, value in entry.xattrs.items():
        records[XATTR + key if squashfs else keyword(key)] = _text(value)  # tar2sqfs decodes nothing
        text = acl_text(value) if key in ACLS else None
        if text is not None:
            records[ACLS[key]] = text
    info.pax_headers = records
    return info


def _decimal(nanoseconds: int) -> str:
    return f"{nanoseconds // 10**9}.{nanoseconds % 10**9:09}"


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


def _map(entry: Entry) -> bytes:
    """The data ranges as GNU's format 1.0 has them before the data: decimal lines, padded to a block."""
    rows = [*(entry.extents or ()), (entry.size, 0)]
    text = b"%d\n" % len(rows) + b"".join(b"%d\n%d\n" % row for row in rows)
    return text + bytes(-len(text) % 512)


def _sparse(entry: Entry, squashfs: bool) -> tarfile.TarInfo:
    info = _member(entry, squashfs)
    folder, _, name = info.name.rpartition("/")
    info.pax_headers = {
        **info.pax_headers, "GNU.sparse.major": "1", "GNU.sparse.minor": "0",
        "GNU.sparse.name": info.name, "GNU.sparse.realsize": str(entry.size),
    }  # fmt: skip
    info.name = f"{folder}/GNUSparseFile.0/{name}" if folder else f"GNUSparseFile.0/{name}"
    info.size = len(_map(entry)) + sum(length for _, length in entry.extents or ())
    return info


def _data(entry: Entry, stream: Iterator[bytes]) -> Iterator[bytes]:
    yield _map(entry)
    for _ in entry.chunks:
        yield next(stream)


def _whole(entry: Entry, stream: Iterator[bytes]) -> Iterator[bytes]:
    """The file's bytes, holes as zeros."""
    ranges = ((0, entry.size),) if entry.extents is None else entry.extents
    place, held = 0, b""
    for offset, length in ranges:
        yield from _zeros(offset - place)
        left = length
        while left:
            held = held or next(stream)
            part, held = held[:left], held[left:]
            left -= len(part)
            yield part
        place = offset + length
    yield from _zeros(entry.size - place)


class _Content(io.RawIOBase):
    """Pieces as a file, pulled as tarfile asks for them."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._held = b""

    def read(self, size: int = -1) -> bytes:
        parts, wanted = [], size
        while wanted > 0:
            if not self._held:
                self._held = next(self._pieces, b"")
                if not self._held:
                    raise BadInput("an entry has less data than its size")
            part, self._held = self._held[:wanted], self._held[wanted:]
            parts.append(part)
            wanted -= len(part)
        return b"".join(parts)


def _zeros(count: int) -> Iterator[bytes]:
    while count > 0:
        step = min(count, 1 << 20)
        yield bytes(step)
        count -= step
