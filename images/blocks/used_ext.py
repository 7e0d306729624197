"""Used blocks of ext2, ext3 and ext4, by their block bitmaps (kernel: Documentation/filesystems/ext4).

Law: a file system whose journal waits to be replayed has newer bitmaps in that journal; its map is not
believed. Groups whose bitmap was never written (BLOCK_UNINIT) hold nothing but their own tables.
Python 3.8, standard library only. Pure.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from images.blocks.bits import Map, Read, merged, runs

_RECOVER, _JOURNAL_DEV, _META_BG, _64BIT = 0x4, 0x8, 0x10, 0x80
_SPARSE_SUPER, _SPARSE_SUPER2 = 0x1, 0x200  # read-only compatible, compatible
_BLOCK_UNINIT = 2
_LARGEST = 6  # blocks of 64 KiB, as a power of two of KiB; the magic number alone is two bytes


class _Super(NamedTuple):
    block: int  # bytes
    cluster: int  # bytes; what one bit of a bitmap stands for
    blocks: int
    first: int  # the first block that bitmaps count
    per_group: int  # blocks
    inode_blocks: int  # of one group's inode table
    descriptor: int  # bytes
    compat: int
    incompat: int
    ro_compat: int
    first_meta: int
    reserved: int  # blocks kept for more descriptors
    backups: tuple[int, int]

    @property
    def groups(self) -> int:
        return -(-(self.blocks - self.first) // self.per_group)


def used(read: Read) -> Map | None:
    """The map, or None when this is no ext file system."""
    raw = read(1024, 1024)
    if raw[56:58] != b"\x53\xef":
        return None
    sb = _super(raw)
    size = sb.blocks * sb.block
    if sb.incompat & _JOURNAL_DEV:
        return Map("ext4 journal", size, None, "it is another file system's journal")
    if sb.incompat & _RECOVER:
        return Map("ext4", size, None, "it was not unmounted: its journal waits to be replayed")
    return Map("ext4" if sb.incompat & 0x40 else "ext2", size, merged(_ranges(sb, read), size))


def span(read: Read) -> int:
    """The bytes that an ext file system says it has; 0: it is none."""
    raw = read(1024, 1024)
    if raw[56:58] != b"\x53\xef" or struct.unpack_from("<I", raw, 24)[0] > _LARGEST:
        return 0
    sb = _super(raw)
    return sb.blocks * sb.block


def _super(raw: bytes) -> _Super:
    low, _, _, _, first, log_block, log_cluster, per_group = struct.unpack_from("<8I", raw, 4)
    inodes_per_group = struct.unpack_from("<I", raw, 40)[0]
    revision, inode_size = struct.unpack_from("<I", raw, 76)[0], struct.unpack_from("<H", raw, 88)[0]
    compat, incompat, ro_compat = struct.unpack_from("<3I", raw, 92)
    high = struct.unpack_from("<I", raw, 336)[0] if incompat & _64BIT else 0
    descriptor = struct.unpack_from("<H", raw, 254)[0] if incompat & _64BIT else 32
    block = 1024 << log_block
    inode_blocks = -(-inodes_per_group * (inode_size if revision else 128) // block)
    return _Super(
        block, 1024 << log_cluster if ro_compat & 0x200 else block, low | high << 32, first, per_group,
        inode_blocks, max(32, descriptor), compat, incompat, ro_compat,
        struct.unpack_from("<I", raw, 260)[0], struct.unpack_from("<H", raw, 206)[0],
        struct.unpack_from("<2I", raw, 588),
    )  # fmt: skip


def _ranges(sb: _Super, read: Read) -> Iterator[tuple[int, int]]:
    block = sb.block
    yield 0, max(2048, block)  # boot block and superblock
    table = -(-sb.groups * sb.descriptor // block)
    for group, (bitmap, inode_bitmap, inode_table, flags) in enumerate(_descriptors(sb, read)):
        begin = sb.first + group * sb.per_group
        yield bitmap * block, block
        yield inode_bitmap * block, block
        yield inode_table * block, sb.inode_blocks * block
        if _has_super(sb, group):
            kept = 2 if sb.incompat & _META_BG else 1 + table + sb.reserved
            yield begin * block, kept * block
        if flags & _BLOCK_UNINIT:
            continue
        count = min(sb.per_group, sb.blocks - begin) * block // sb.cluster
        for first, length in runs(read(bitmap * block, block), count):
            yield begin * block + first * sb.cluster, length * sb.cluster


def _descriptors(sb: _Super, read: Read) -> Iterator[tuple[int, int, int, int]]:
    """(block bitmap, inode bitmap, inode table, flags) of each group."""
    per_block = sb.block // sb.descriptor
    for group in range(sb.groups):
        if group % per_block == 0:
            raw = read(_descriptor_block(sb, group // per_block, per_block) * sb.block, sb.block)
        at = group % per_block * sb.descriptor
        low = struct.unpack_from("<3I", raw, at)
        high = struct.unpack_from("<3I", raw, at + 32) if sb.descriptor >= 64 else (0, 0, 0)
        a, b, c = (x | y << 32 for x, y in zip(low, high))  # noqa: B905 - Python 3.8
        yield a, b, c, struct.unpack_from("<H", raw, at + 18)[0]


def _descriptor_block(sb: _Super, number: int, per_block: int) -> int:
    if not sb.incompat & _META_BG or number < sb.first_meta:
        return 1024 // sb.block + 1 + number  # behind the superblock, wherever that makes block 0
    group = number * per_block
    begin = 1024 // sb.block if group == 0 else sb.first + group * sb.per_group
    return begin + int(_has_super(sb, group))


def _has_super(sb: _Super, group: int) -> bool:
    if group == 0 or sb.compat & _SPARSE_SUPER2:
        return group == 0 or group in sb.backups
    if group == 1 or not sb.ro_compat & _SPARSE_SUPER:
        return True
    return any(_power(group, base) for base in (3, 5, 7))


def _power(number: int, base: int) -> bool:
    while number % base == 0:
        number //= base
    return number == 1
