"""Import a tar archive, plain or compressed, in one pass: a file, a pipe, a container layer.

Knows the forms of GNU tar, star, bsdtar and Python: PAX records with xattrs (SCHILY.xattr, LIBARCHIVE.xattr),
ACLs as text, SELinux labels, nanosecond times, sparse files of every dialect, names in any bytes.
Law: names are made relative to the root; one that climbs out with ".." is refused. An archive that ends
early is damaged, not short.
"""

from __future__ import annotations

import base64
import binascii
import tarfile
import urllib.parse
from collections.abc import Iterator, Mapping
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

from images.errors import BadInput
from images.importing import owner_names
from images.importing.acl_names import AclNames
from images.importing.intake import Intake
from images.importing.streams import DAMAGED, TRIPS, Peeked, Tail, decompressed
from images.manifest import Entry
from images.pax import XATTR, attribute
from images.progress import Progress, silent
from images.store import ImageStore
from images.versions import Version

_BLOCK = 1 << 20
_ENCODED = "LIBARCHIVE.xattr."
_TYPES = {
    tarfile.DIRTYPE: "dir", tarfile.SYMTYPE: "symlink", tarfile.FIFOTYPE: "fifo",
    tarfile.CHRTYPE: "char", tarfile.BLKTYPE: "block",
}  # fmt: skip


class NoArchive(BadInput):
    """It cannot be read as an archive."""


def import_tar(
    store: ImageStore,
    name: str,
    source: Path,
    comment: str = "",
    meta: Mapping[str, Any] | None = None,
    progress: Progress = silent,
) -> Version:
    """Make the archive `source` the next version of `name`. Raises BadInput, OSError."""
    total = source.stat().st_size
    with source.open("rb") as file:
        stream = Peeked(file)

        def told(done: int, _: int | None, what: str) -> None:
            progress(stream.read_bytes, total, what)

        with Intake(store, told) as intake:
            TarReader(intake).read(stream, str(source))
            return intake.publish(name, comment, meta)


def import_tar_stream(
    store: ImageStore, name: str, stream: IO[bytes], comment: str, meta: Mapping[str, Any], progress: Progress
) -> Version:
    """The same from a pipe. The caller checks afterwards whether its writer ended well."""
    with Intake(store, progress) as intake:
        TarReader(intake).read(Peeked(stream), "the archive")
        return intake.publish(name, comment, meta)


class TarReader:
    """Puts archives into an intake, one after the other; later members replace earlier ones."""

    def __init__(self, intake: Intake, plain: bool = False) -> None:
        """`plain`: names of attributes stand there as they are (sqfs2tar), not as GNU tar writes them."""
        self._intake = intake
        self._plain = plain
        self._acls = AclNames(intake)
        self._nameless = False  # a member gave no name of its owner

    def read(self, stream: Peeked, what: str) -> None:
        """Take one whole archive. Raises BadInput for one that is damaged or none."""
        self.take(stream, what)
        self.settle()

    def settle(self) -> None:
        """To be called when all archives were taken. Raises BadInput when an ACL means nobody, OSError."""
        self._acls.settle()
        if self._nameless:
            owner_names.fill(self._intake)

    def take(self, stream: Peeked, what: str) -> None:
        """Take all members of one of several archives. Raises BadInput."""
        tail = Tail(decompressed(stream))
        try:
            with _opened(tail) as tar:
                for member in _members(tar):
                    self.member(tar, member)
            tail.check(what)
        except (tarfile.TarError, *DAMAGED) as err:
            if isinstance(err, OSError) and err.errno is not None:
                raise  # the environment (disk full, unreadable medium), not the archive's form
            raise NoArchive(f"{what} is damaged or no archive: {err}") from err

    def member(self, tar: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        """Take one member."""
        path = clean(member.name)
        tree = self._intake.tree
        self._acls.note(member)
        if member.islnk():
            tree.link(path, clean(member.linkname), through_links=True)
            return
        entry = self._entry(path, member)
        self._nameless |= not (entry.user and entry.group)
        if entry.type == "file":
            data = _Data(tar, member)
            entry = entry._replace(chunks=self._intake.data(entry, data.read))
            data.check(entry.name)
        acls, unknown = self._acls.read(member)
        entry = entry._replace(xattrs={**entry.xattrs, **acls})
        self._acls.postpone(tree.add(entry, through_links=True), member, unknown)

    def _entry(self, path: bytes, member: tarfile.TarInfo) -> Entry:
        if not member.isreg() and member.type not in _TYPES:
            raise BadInput(f"/{member.name}: archive members of type {member.type!r} are not known")
        kind = "file" if member.isreg() else _TYPES[member.type]
        sparse = _ranges(member) if kind == "file" else None
        return Entry(
            path=path,
            type=kind,
            mode=member.mode & 0o7777,
            uid=member.uid,
            gid=member.gid,
            user=member.uname,
            group=member.gname,
            mtime_ns=_nanoseconds(member),
            size=member.size if kind == "file" else 0,
            target=_raw(member.linkname) if kind == "symlink" else b"",
            rdev=(member.devmajor, member.devminor) if kind in ("char", "block") else None,
            xattrs=_xattrs(member, self._plain),
            extents=sparse,
        )


def _xattrs(member: tarfile.TarInfo, plain: bool) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for key, value in member.pax_headers.items():
        if key.startswith(XATTR):
            if _ENCODED + key[len(XATTR) :] not in member.pax_headers:  # where bsdtar encodes it all
                found[key[len(XATTR) :] if plain else attribute(key)] = _raw(value)
        elif key.startswith(_ENCODED):
            name = urllib.parse.unquote(key[len(_ENCODED) :])
            found.setdefault(name, _base64(value, member.name))
        elif key == "RHT.security.selinux":
            found["security.selinux"] = _raw(value).rstrip(b"\0") + b"\0"
    return found


class _Data:
    """A member's stored data as one stream. Of a sparse file only the data ranges are stored, joined."""

    def __init__(self, tar: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        self._stream = cast("BinaryIO", tar.fileobj)
        self._stream.seek(member.offset_data)
        ranges = _ranges(member)
        self._left = member.size if ranges is None else sum(length for _, length in ranges)

    def read(self, size: int) -> bytes:
        data = self._stream.read(min(size, self._left))
        self._left -= len(data)
        return data

    def check(self, name: str) -> None:
        """Raises BadInput when the archive ended inside the member."""
        if self._left:
            raise BadInput(f"{name}: the archive ends in the middle of this file")


def _opened(stream: Tail) -> tarfile.TarFile:
    """The archive, its first header read. Raises BadInput and TarError."""
    source = cast("IO[bytes]", stream)
    try:
        return tarfile.open(fileobj=source, mode="r|", bufsize=_BLOCK, errors="surrogateescape")
    except TRIPS as err:
        raise BadInput(f"the archive's first header is damaged ({err})") from err


def _members(tar: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """Its members, one at a time. Raises BadInput and TarError."""
    while True:
        try:
            member = tar.next()
        except TRIPS as err:
            raise BadInput(f"a header in the archive is damaged ({err})") from err
        if member is None:
            return
        tar.members = []  # type: ignore[attr-defined]  # or it keeps every one of them in memory
        yield member


def clean(name: str) -> bytes:
    """A member's name as a path in the tree. Raises BadInput when it climbs out."""
    parts = [part for part in _raw(name).split(b"/") if part not in (b"", b".")]
    if b".." in parts:
        raise BadInput(f"archive member {name!r} would leave the tree")
    return b"/".join(parts)


def _ranges(member: tarfile.TarInfo) -> tuple[tuple[int, int], ...] | None:
    pairs: list[tuple[int, int]] | None = getattr(member, "sparse", None)
    if pairs is None:
        return None
    if any(offset < 0 or size < 0 for offset, size in pairs):
        raise BadInput(f"/{member.name}: its map of holes is damaged")
    return tuple(sorted((offset, size) for offset, size in pairs if size))


def _nanoseconds(member: tarfile.TarInfo) -> int:
    """tarfile makes a float of the PAX time and loses what it needs last; the text has it all."""
    text = member.pax_headers.get("mtime", member.mtime)
    try:
        return int(Decimal(text) * 1_000_000_000)
    except (InvalidOperation, ValueError, OverflowError) as err:
        raise BadInput(f"/{member.name}: {text!r} is no time") from err


def _raw(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _base64(text: str, name: str) -> bytes:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4))
    except binascii.Error as err:
        raise BadInput(f"archive member {name!r}: an extended attribute is damaged") from err
