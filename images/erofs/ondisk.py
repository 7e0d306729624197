"""EROFS on disk: superblock, inodes, extended attributes, directory blocks. Records to bytes, nothing else.

Format: Linux fs/erofs/erofs_fs.h; what is used here is read by Linux 5.15 and later. Blocks are 4096 bytes,
all numbers little-endian. Inodes are the extended kind: full size, 32-bit owners, time with nanoseconds.

    i_format  bit 0: extended; bits 1-3: 0 flat plain (data in whole blocks), 2 flat inline (the last part
              follows the inode), 4 chunk based (a table of blocks follows the inode, so that holes are holes)
"""

from __future__ import annotations

import stat
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from images.errors import BadInput

BLOCK_BITS = 12
BLOCK = 1 << BLOCK_BITS
SLOT = 32  # inodes are numbered by their place, in these units
SUPER_AT = 1024
MAGIC = 0xE0F5E1E2
INODE_SIZE = 64
PLAIN, INLINE, CHUNKED = 0, 2, 4
HOLE = 0xFFFFFFFF
MOST_BLOCKS = 0xFFFFFFFF
_CHECKED, _MTIME = 1, 2  # compatible features
_CHUNKED_FILES = 4  # incompatible: a kernel without it refuses the mount
_SUPER = struct.Struct("<IIIBBHQQIIII16s16sIHHHBBIQ24s")
_INODE = struct.Struct("<HHHHQIIIIqII16s")
_DIRENT = struct.Struct("<QHBB")
_XATTR_HEAD = 12
_NAMESPACES = (("user.", 1), ("trusted.", 4), ("security.", 6))
_ACLS = {"system.posix_acl_access": 2, "system.posix_acl_default": 3}
_KINDS = {
    stat.S_IFREG: 1, stat.S_IFDIR: 2, stat.S_IFCHR: 3, stat.S_IFBLK: 4, stat.S_IFIFO: 5, stat.S_IFSOCK: 6,
    stat.S_IFLNK: 7,
}  # fmt: skip


@dataclass(frozen=True)
class Super:
    """The superblock's facts. `root` is the root's inode number, `blocks` the size of the device."""

    root: int
    inodes: int
    blocks: int
    created: int
    uuid: bytes
    label: bytes
    chunked: bool


@dataclass(frozen=True)
class Inode:
    """One inode. `mode` with its type bits; `place`: first block, device number, or form of the chunks."""

    layout: int
    mode: int
    size: int
    place: int
    number: int
    uid: int
    gid: int
    mtime_ns: int
    links: int
    xattrs: bytes = b""


def superblock(facts: Super) -> bytes:
    """Block 0."""
    packed = _super(facts, 0)
    checked = bytes(SUPER_AT) + packed + bytes(BLOCK - SUPER_AT - len(packed))
    return bytes(SUPER_AT) + _super(facts, crc32c(checked[SUPER_AT:])) + checked[SUPER_AT + len(packed) :]


def _super(facts: Super, checksum: int) -> bytes:
    return _SUPER.pack(
        MAGIC, checksum, _CHECKED | _MTIME, BLOCK_BITS, 0, facts.root, facts.inodes, facts.created, 0,
        facts.blocks, 0, 0, facts.uuid, facts.label, _CHUNKED_FILES if facts.chunked else 0,
        0, 0, 0, 0, 0, 0, 0, bytes(24),
    )  # fmt: skip


def inode(one: Inode) -> bytes:
    """An inode and its extended attributes; what is inline follows."""
    seconds, nanoseconds = divmod(one.mtime_ns, 10**9)
    count = 1 + (len(one.xattrs) - _XATTR_HEAD) // 4 if one.xattrs else 0
    return _INODE.pack(
        1 | one.layout << 1, count, one.mode, 0, one.size, one.place, one.number & 0xFFFFFFFF,
        one.uid, one.gid, seconds, nanoseconds, one.links, bytes(16),
    ) + one.xattrs  # fmt: skip


def device_number(major: int, minor: int) -> int:
    """As Linux keeps it in 32 bits. Raises BadInput for a number that does not fit."""
    if major >= 1 << 12 or minor >= 1 << 20:
        raise BadInput(f"device number {major}:{minor} is larger than Linux has")
    return minor & 0xFF | major << 8 | (minor & ~0xFF) << 12


def xattrs(values: Mapping[str, bytes]) -> tuple[bytes, list[str]]:
    """(the inline attributes, names that EROFS cannot hold). Raises BadInput when they are too large."""
    rows, left_out = [], []
    for name, value in sorted(values.items()):
        index, short = _short(name)
        if not index or len(value) > 0xFFFF or len(short) > 0xFF:
            left_out.append(name)
            continue
        row = struct.pack("<BBH", len(short), index, len(value)) + short + value
        rows.append(row + bytes(-len(row) % 4))
    if not rows:
        return b"", left_out
    body = bytes(_XATTR_HEAD) + b"".join(rows)
    if 1 + (len(body) - _XATTR_HEAD) // 4 > 0xFFFF:
        raise BadInput("more extended attributes than EROFS holds (256 KiB)")
    return body, left_out


def _short(name: str) -> tuple[int, bytes]:
    if name in _ACLS:
        return _ACLS[name], b""
    for prefix, index in _NAMESPACES:
        if name.startswith(prefix):
            return index, name[len(prefix) :].encode("utf-8", "surrogateescape")
    return 0, b""


def split_names(names: Sequence[bytes]) -> list[list[int]]:
    """Which of the sorted names (by position) go into which directory block."""
    blocks: list[list[int]] = [[]]
    used = 0
    for position, name in enumerate(names):
        need = _DIRENT.size + len(name)
        if used + need > BLOCK:
            blocks.append([])
            used = 0
        blocks[-1].append(position)
        used += need
    return blocks


def names_size(names: Sequence[bytes]) -> int:
    """Bytes that one directory block of these names takes."""
    return sum(_DIRENT.size + len(name) for name in names)


def dirents(rows: Sequence[tuple[bytes, int, int]]) -> bytes:
    """One directory block, not padded: (name, inode number, mode) sorted by name."""
    at = _DIRENT.size * len(rows)
    out, names = [], []
    for name, number, mode in rows:
        out.append(_DIRENT.pack(number, at, _KINDS[stat.S_IFMT(mode)], 0))
        names.append(name)
        at += len(name)
    return b"".join(out + names)


def _table() -> list[int]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ 0x82F63B78 if value & 1 else value >> 1
        table.append(value)
    return table


_CRC = _table()


def crc32c(data: bytes) -> int:
    """As EROFS has it: all ones to begin with, not inverted at the end."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ _CRC[(crc ^ byte) & 0xFF]
    return crc
