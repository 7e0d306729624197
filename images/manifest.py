"""What one version of an image holds: a header line, then one JSON line per file, in depth-first order.

Law: reading is strict. A path that could leave the tree, a repeated or out-of-order path, a parent that is no
directory, a key or type this format does not know: each is `BadInput`, before anything touches a disk.
Names are bytes. They travel as JSON text through surrogateescape, so that any byte but NUL and "/" survives.
Order: paths compare component by component, therefore a directory's whole content follows it at once and a
writer can finish each directory when it leaves it.

Runs on nodes as well: Python 3.8, standard library only. Knows nothing of packs, keys or compression.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterable, Iterator, Mapping
from sys import intern
from typing import Any, NamedTuple

from images.errors import BadInput

FORMAT = 1
HASH = "sha256"
TYPES = ("dir", "file", "symlink", "hardlink", "fifo", "char", "block", "socket")
_DIGEST = 32
# Made once: making it costs as much as a line.
_write = json.JSONEncoder(separators=(",", ":"), ensure_ascii=True).encode
_quote = json.encoder.encode_basestring_ascii
_scan = json.JSONDecoder().raw_decode
_NO_NAMES = frozenset((b"", b".", b".."))
_U32 = 2**32 - 1
_SIZE = 2**63 - 1
_TIME = 2**63 * 10**9 - 1  # nanoseconds: seconds are 64 bits
_KEYS = {"path", "type", "mode", "uid", "gid", "user", "group", "mtime", "size"}
_KEYS |= {"target", "rdev", "xattrs", "extents", "chunks"}


NONE: Mapping[str, bytes] = {}  # shared by all that have none


class Chunk(NamedTuple):
    """A run of file bytes: `id` is its sha256 (32 bytes), `length` in bytes, at least 1."""

    id: bytes
    length: int


class Entry(NamedTuple):
    """One name in the tree. `path` is relative, without leading slash; b"" is the root directory itself.

    A `hardlink` carries only path and target: its target is the first name of that file, which came earlier.
    `chunks` cover the data in order; with `extents` (offset, length) only those ranges hold data, the rest
    up to `size` is a hole. `mtime_ns` is nanoseconds since the epoch; `rdev` is (major, minor).
    """

    path: bytes
    type: str
    mode: int = 0
    uid: int = 0
    gid: int = 0
    user: str = ""
    group: str = ""
    mtime_ns: int = 0
    size: int = 0
    target: bytes = b""
    rdev: tuple[int, int] | None = None
    xattrs: Mapping[str, bytes] = NONE
    extents: tuple[tuple[int, int], ...] | None = None
    chunks: tuple[Chunk, ...] = ()

    @property
    def name(self) -> str:
        """The path for a person: printable, never used to open anything."""
        return "/" + self.path.decode("utf-8", "backslashreplace")


class Header(NamedTuple):
    """The first line. `parent` and version ids are sha256 hex of a manifest's text; `created` is epoch
    seconds.
    """

    name: str
    number: int
    created: float
    comment: str = ""
    parent: str | None = None
    kind: str = "tree"
    files: int = 0
    bytes: int = 0  # logical size of all files, holes not counted
    meta: Mapping[str, Any] = {}  # os_release, kernel_args, recipe, architecture ...
    hash: str = HASH
    format: int = FORMAT


def order(path: bytes) -> bytes:
    """Sort key: component by component (no name contains NUL, so NUL sorts as the separator)."""
    return path.replace(b"/", b"\0")


def to_text(raw: bytes) -> str:
    """Name bytes as JSON-safe text; `to_bytes` is its exact inverse."""
    return raw.decode("utf-8", "surrogateescape")


def to_bytes(text: str) -> bytes:
    """Name text back to bytes. Raises BadInput when it is no text that `to_text` makes."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as err:
        raise BadInput(f"manifest: name {text!r} is not decodable") from err


def write_header(header: Header) -> bytes:
    """The header as its line, newline included."""
    return _line(header._asdict())


def write_entry(entry: Entry) -> bytes:
    """One entry as its line, newline included. Fields at their default are left out."""
    # Put together by hand: the encoder takes three times as long, and there may be a million.
    path, kind, mode, uid, gid, user, group, mtime, size, target, rdev, xattrs, extents, chunks = entry
    start = f'{{"path":{_quote(path.decode("utf-8", "surrogateescape"))},"type":"{kind}"'
    if kind == "hardlink":
        return f'{start},"target":{_quote(to_text(target))}}}\n'.encode("ascii")
    text = f'{start},"mode":{mode},"uid":{uid},"gid":{gid},"mtime":{mtime}'
    if user:
        text += f',"user":{_quote(user)}'
    if group:
        text += f',"group":{_quote(group)}'
    if kind == "symlink":
        text += f',"target":{_quote(to_text(target))}'
    if rdev is not None:
        text += f',"rdev":{_write(rdev)}'
    if xattrs:
        values = {k: base64.b64encode(v).decode("ascii") for k, v in sorted(xattrs.items())}
        text += f',"xattrs":{_write(values)}'
    if kind == "file":
        text += f',"size":{size}'
        if extents is not None:
            text += f',"extents":{_write(extents)}'
        if len(chunks) == 1:
            text += f',"chunks":[["{chunks[0][0].hex()}",{chunks[0][1]}]]'
        elif chunks:
            rows = ",".join([f'["{id.hex()}",{length}]' for id, length in chunks])
            text += f',"chunks":[{rows}]'
    return f"{text}}}\n".encode("ascii")


def line_start(path: bytes) -> bytes:
    """How the line of every entry with that path begins."""
    return b'{"path":' + json.dumps(to_text(path)).encode("ascii") + b","


def read_header(line: bytes) -> Header:
    """Parse the first line. Raises BadInput; a newer format says so by name."""
    row = _parse(line, "header")
    if row.get("format") != FORMAT:
        raise BadInput(f"manifest: format {row.get('format')!r} is not one this program knows; update it")
    if row.get("hash") != HASH:
        raise BadInput(f"manifest: hash {row.get('hash')!r} is not one this program knows; update it")
    try:
        header = Header(**row)
    except TypeError as err:
        raise BadInput(f"manifest: header: {err}") from err
    wanted = ((header.name, str), (header.number, int), (header.created, (int, float)), (header.comment, str))
    more = ((header.kind, str), (header.files, int), (header.bytes, int), (header.meta, dict))
    if not all(isinstance(value, kind) for value, kind in wanted + more):
        raise BadInput("manifest: header: a field has the wrong type")
    return header


def data_size(entry: Entry) -> int:
    """Bytes of data, holes not counted."""
    return entry.size if entry.extents is None else sum(length for _, length in entry.extents)


def read_entries(lines: Iterable[bytes]) -> Iterator[Entry]:
    """Parse and check every following line, one at a time. Raises BadInput at the first that breaks the
    law.
    """
    parents: list[bytes] = []  # the directories that enclose the current place, root first
    last: bytes | None = None
    for line in lines:
        entry = parse_entry(line)
        key = order(entry.path)
        if last is None and (entry.path != b"" or entry.type != "dir"):
            raise BadInput("manifest: the first entry must be the root directory")
        if last is not None and key <= last:
            raise BadInput(f"manifest: {entry.name} is repeated or out of order")
        if last is not None:
            parent = entry.path.rpartition(b"/")[0]
            while parents and parents[-1] != parent:
                parents.pop()
            if not parents:
                raise BadInput(f"manifest: {entry.name} has no directory to be in")
        if entry.type == "hardlink" and order(entry.target) >= key:
            raise BadInput(f"manifest: hard link {entry.name} points forward")
        if entry.type == "dir":
            parents.append(entry.path)
        last = key
        yield entry
    if last is None:
        raise BadInput("manifest: holds no entries")


def parse_entry(line: bytes, chunks: tuple[Chunk, ...] = ()) -> Entry:
    """One line to an entry, checked by itself (order is the business of `read_entries`). `chunks`: its, where
    the line does not tell them. Raises BadInput.
    """
    row = _parse(line, "entry")
    try:
        entry = _entry(row)
    except (KeyError, TypeError, ValueError, AttributeError) as err:
        raise BadInput(f"manifest: entry {str(row.get('path'))!r}: {err!r}") from err
    if chunks:
        entry = entry._replace(chunks=chunks)
    _check(entry)
    return entry


def _entry(row: dict[str, Any]) -> Entry:
    if not row.keys() <= _KEYS:
        raise ValueError(f"unknown keys {sorted(row.keys() - _KEYS)}")
    get = row.get
    extents, rdev, chunks = get("extents"), get("rdev"), get("chunks", ())
    mode, uid, gid, size = get("mode", 0), get("uid", 0), get("gid", 0), get("size", 0)
    if not (type(mode) is type(uid) is type(gid) is type(size) is int) or min(mode, uid, gid, size) < 0:
        raise ValueError("mode, uid, gid and size are whole numbers from 0")
    return Entry(  # in their order, which costs half of naming them
        row["path"].encode("utf-8", "surrogateescape"),
        intern(row["type"]),  # one of few, held by each of many entries
        mode,
        uid,
        gid,
        intern(get("user", "")),
        intern(get("group", "")),
        int(get("mtime", 0)),
        size,
        to_bytes(row["target"]) if "target" in row else b"",
        None if rdev is None else (_natural(rdev[0]), _natural(rdev[1])),
        _xattrs(row["xattrs"]) if "xattrs" in row else NONE,
        None if extents is None else tuple([(_natural(a), _natural(b)) for a, b in extents]),
        tuple([_chunk(digest, length) for digest, length in chunks]) if chunks else (),
    )


def _xattrs(row: dict[str, Any]) -> Mapping[str, bytes]:
    return {str(k): base64.b64decode(v, validate=True) for k, v in row.items()}


def _natural(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(f"{value!r} is not a whole number from 0")
    return value


def _chunk(digest: str, length: int) -> Chunk:
    raw = binascii.unhexlify(digest)
    if len(raw) != _DIGEST or type(length) is not int or length < 1:
        raise ValueError("bad chunk")
    return Chunk(raw, length)


def safe(path: bytes) -> bool:
    """Whether `path` names a place inside the tree and nothing else (no "..", no "//", no NUL, not
    absolute).
    """
    if path == b"":
        return True
    if b"\0" in path:
        return False
    parts = path.split(b"/")
    return _NO_NAMES.isdisjoint(parts) and (len(path) <= 255 or max(map(len, parts)) <= 255)


def _check(entry: Entry) -> None:
    """The rules of a single entry. Raises BadInput."""
    if entry.type not in TYPES:
        raise BadInput(f"manifest: {entry.name}: unknown type {entry.type!r}")
    if not safe(entry.path) or (entry.type == "hardlink" and not (entry.target and safe(entry.target))):
        raise BadInput(f"manifest: {entry.name} would leave the tree")
    if entry.type == "symlink" and (not entry.target or b"\0" in entry.target):
        raise BadInput(f"manifest: {entry.name}: a link without a target")
    if entry.type in ("char", "block") and entry.rdev is None:
        raise BadInput(f"manifest: {entry.name}: a device without a number")
    rdev = entry.rdev is not None and max(entry.rdev) > _U32
    owner = entry.uid > _U32 or entry.gid > _U32
    if entry.mode > 0o7777 or owner or rdev or abs(entry.mtime_ns) > _TIME or entry.size > _SIZE:
        raise BadInput(f"manifest: {entry.name}: a number is larger than any file system keeps")
    if entry.type != "file":
        return
    data, end = entry.size, 0
    if entry.extents is not None:
        data = 0
        for offset, length in entry.extents:
            if offset < end or length == 0 or offset + length > entry.size:
                raise BadInput(f"manifest: {entry.name}: its data ranges overlap or exceed its size")
            data, end = data + length, offset + length
    if data != sum([chunk.length for chunk in entry.chunks]):
        raise BadInput(f"manifest: {entry.name}: its chunks do not add up to its size")


def _line(row: dict[str, Any]) -> bytes:
    return _write(row).encode("ascii") + b"\n"


def _parse(line: bytes, what: str) -> dict[str, Any]:
    try:
        text = line.decode("ascii")
        row, end = _scan(text)
        if end != len(text) and text[end:] != "\n":
            raise ValueError("something follows")
    except (ValueError, RecursionError) as err:
        raise BadInput(f"manifest: damaged {what}: {err}") from err
    if not isinstance(row, dict):
        raise BadInput(f"manifest: damaged {what}: not an object")
    return row
