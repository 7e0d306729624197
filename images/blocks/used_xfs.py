"""Used blocks of XFS: all but what each allocation group's by-block free space tree lists.

Source: "XFS Algorithms & Data Structures", chapters on allocation groups and the log. Law: only a log that
ends with an unmount record is clean; otherwise it holds newer trees and the map is not believed.
Python 3.8, standard library only. Pure.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from images.blocks.bits import Map, Read, complement, merged
from images.errors import BadInput

_LOG_MAGIC = struct.pack(">I", 0xFEEDBABE)
_UNMOUNT = 0x20
_BASIC = 512  # the log counts in these
_STEP = 1 << 20
_NONE = 0xFFFFFFFF


class _Super(NamedTuple):
    block: int
    blocks: int
    log_start: int
    group_blocks: int
    groups: int
    log_blocks: int
    sector: int
    group_log: int
    version: int


def used(read: Read) -> Map | None:
    """The map, or None when this is no XFS."""
    raw = read(0, 512)
    if raw[:4] != b"XFSB":
        return None
    block, blocks = struct.unpack_from(">IQ", raw, 4)
    group_blocks, groups, _, log_blocks, version, sector = struct.unpack_from(">IIIIHH", raw, 84)
    log_start = struct.unpack_from(">Q", raw, 48)[0]
    sb = _Super(block, blocks, log_start, group_blocks, groups, log_blocks, sector, raw[124], version & 15)
    size = blocks * block
    if raw[126]:
        return Map("xfs", size, None, "it was being made when this was taken")
    if not log_start:
        return Map("xfs", size, None, "its log is on another device")
    if not _clean(sb, read):
        return Map("xfs", size, None, "it was not unmounted: its log waits to be replayed")
    return Map("xfs", size, merged(_ranges(sb, read), size))


def span(read: Read) -> int:
    """The bytes that an XFS says it has; 0: it is none."""
    raw = read(0, 512)
    block, blocks = struct.unpack_from(">IQ", raw, 4)
    return int(block * blocks) if raw[:4] == b"XFSB" else 0


def _ranges(sb: _Super, read: Read) -> Iterator[tuple[int, int]]:
    for group in range(sb.groups):
        begin = group * sb.group_blocks
        count = min(sb.group_blocks, sb.blocks - begin)
        for first, length in complement(sorted(_free(sb, read, group)), count):
            yield (begin + first) * sb.block, length * sb.block


def _free(sb: _Super, read: Read, group: int) -> Iterator[tuple[int, int]]:
    """(first, count) of the group's free runs, from the leaves of the tree, left to right."""
    base = group * sb.group_blocks * sb.block
    head = read(base + sb.sector, 512)
    if head[:4] != b"XAGF":
        raise BadInput(f"XFS: allocation group {group} is damaged")
    root, levels = struct.unpack_from(">I", head, 16)[0], struct.unpack_from(">I", head, 28)[0]
    header = 56 if sb.version == 5 else 16
    pointers = header + (sb.block - header) // 12 * 8
    node = root
    for left in reversed(range(levels)):
        raw = _node(read(base + node * sb.block, sb.block), left)
        if left:
            node = struct.unpack_from(">I", raw, pointers)[0]
    for _ in range(sb.group_blocks):  # a damaged tree must not be a circle
        count, _, right = struct.unpack_from(">HII", raw, 6)
        yield from struct.iter_unpack(">II", raw[header : header + count * 8])
        if right == _NONE:
            return
        raw = _node(read(base + right * sb.block, sb.block), 0)


def _node(raw: bytes, level: int) -> bytes:
    if raw[:4] not in (b"ABTB", b"AB3B") or struct.unpack_from(">H", raw, 4)[0] != level:
        raise BadInput("XFS: a free space tree is damaged")
    return raw


def _clean(sb: _Super, read: Read) -> bool:
    """Whether the newest record of the log is the one that unmounting writes."""
    group, block = sb.log_start >> sb.group_log, sb.log_start & ((1 << sb.group_log) - 1)
    base, size = (group * sb.group_blocks + block) * sb.block, sb.log_blocks * sb.block
    newest, where = -1, -1
    for at in range(0, size, _STEP):
        piece = read(base + at, min(_STEP, size - at))
        found = piece.find(_LOG_MAGIC)
        while found >= 0:
            if found % _BASIC == 0:
                lsn = struct.unpack_from(">Q", piece, found + 16)[0]
                newest, where = max((newest, where), (lsn, at + found))
            found = piece.find(_LOG_MAGIC, found + 1)
    if where < 0:
        return False
    head = read(base + where, _BASIC)
    version, operations = struct.unpack_from(">I", head, 8)[0], struct.unpack_from(">I", head, 40)[0]
    wide = struct.unpack_from(">I", head, 320)[0] if version & 2 else 0
    after = (where + _BASIC * max(1, -(-wide // 32768))) % size  # the log is a ring
    return operations == 1 and bool(read(base + after, _BASIC)[9] & _UNMOUNT)
