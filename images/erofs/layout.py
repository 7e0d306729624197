"""Where everything of a tree lies in its EROFS image: the metadata as bytes, the data as a map to chunks.

    block 0        superblock
    block 1 ...    inodes with what is inline, then directory blocks and long links: these bytes are made here
    then           the files' data, each file from a block's start, in manifest order: these are only mapped

Law: the same manifest gives the same image, bit by bit; files of the same chunks lie in one place. Pure.
"""

from __future__ import annotations

import hashlib
import stat
import struct
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from images.erofs import ondisk
from images.erofs.nodes import Node, gather, listed
from images.erofs.ondisk import BLOCK, CHUNKED, HOLE, INLINE, INODE_SIZE, SLOT
from images.errors import BadInput
from images.manifest import Chunk, Entry, Header


class Run(NamedTuple):
    """`length` bytes of the device from `start` are those from `skip` of the chunk."""

    start: int
    length: int
    chunk: Chunk
    skip: int


class Layout(NamedTuple):
    """A device of `size` bytes that begins with `head`; `runs` in order of their start, between them zeros.
    `left_out` names what EROFS cannot hold."""

    size: int
    head: bytes
    runs: list[Run]
    left_out: list[str]


def lay_out(header: Header, id: str, entries: Iterable[Entry]) -> Layout:
    """The image of the tree with that manifest (hex id). Raises BadInput when it is larger than 16 TiB."""
    nodes, left_out = gather(entries)
    end = _place_inodes(nodes)
    runs: list[Run] = []
    blocks = _place_data(nodes, end, runs)
    if blocks > ondisk.MOST_BLOCKS:
        raise BadInput(f"{header.name}@{header.number}: more than 16 TiB are no EROFS")
    facts = ondisk.Super(
        root=nodes[0].number, inodes=len(nodes), blocks=blocks, created=int(header.created),
        uuid=bytes.fromhex(id)[:16], label=header.name.encode()[:15],
        chunked=any(node.layout == CHUNKED for node in nodes),
    )  # fmt: skip
    head = bytearray(end * BLOCK)
    head[:BLOCK] = ondisk.superblock(facts)
    for number, node in enumerate(nodes, 1):
        _write(head, node, number)
    return Layout(blocks * BLOCK, bytes(head), runs, left_out)


def _place_inodes(nodes: list[Node]) -> int:
    """Gives each inode its place, and the blocks of metadata theirs; the first block behind them."""
    at = BLOCK
    for node in nodes:
        need = INODE_SIZE + len(node.xattrs) + (node.tail if node.layout == INLINE else 0)
        together = need if node.layout == INLINE else INODE_SIZE
        if at % BLOCK + together > BLOCK:
            at = -(-at // BLOCK) * BLOCK
        node.at = at
        at += need + (node.tail if node.layout == CHUNKED else 0)
        at = -(-at // SLOT) * SLOT
    block = -(-at // BLOCK)
    for node in nodes:
        if node.blocks:
            node.place = block
            block += node.blocks
    return block


def _place_data(nodes: list[Node], block: int, runs: list[Run]) -> int:
    """Maps the files' data from that block on; the first block behind."""
    known: dict[bytes, int] = {}
    for node in nodes:
        if not stat.S_ISREG(node.mode) or not node.size:
            continue
        if node.layout == CHUNKED:
            node.place = block
            block = _sparse(node, block, runs)
            continue
        content = hashlib.sha256(b"".join(chunk.id for chunk in node.chunks)).digest()
        if content not in known:
            known[content] = block
            runs += runs_of(node.chunks, [(block * BLOCK, node.size)])
            block += -(-node.size // BLOCK)
        node.place = known[content]
    return block


def _sparse(node: Node, block: int, runs: list[Run]) -> int:
    """A file with holes: only its units with data get blocks."""
    assert node.extents is not None
    first = dict(_units(node, block))
    size = 1 << node.unit
    places = []
    for offset, length in node.extents:
        while length:
            part = min(length, size - offset % size)
            places.append((first[offset >> node.unit] * BLOCK + offset % size, part))
            offset, length = offset + part, length - part
    runs += runs_of(node.chunks, places)
    return block + sum(_unit_blocks(node, unit) for unit in first)


def _units(node: Node, block: int) -> Iterator[tuple[int, int]]:
    """(unit of the file that holds data, its first block)."""
    last = -1
    for offset, length in node.extents or ():
        for unit in range(max(last + 1, offset >> node.unit), (offset + length - 1 >> node.unit) + 1):
            yield unit, block
            block += _unit_blocks(node, unit)
            last = unit


def _unit_blocks(node: Node, unit: int) -> int:
    return -(-min(1 << node.unit, node.size - (unit << node.unit)) // BLOCK)


def runs_of(chunks: Iterable[Chunk], places: Iterable[tuple[int, int]]) -> Iterator[Run]:
    """The chunks' bytes, one after the other, in these (start, length) of the device."""
    waiting = iter(places)
    start = room = 0
    for chunk in chunks:
        skip = 0
        while skip < chunk.length:
            if not room:
                start, room = next(waiting)
            part = min(room, chunk.length - skip)
            yield Run(start, part, chunk, skip)
            start, room, skip = start + part, room - part, skip + part


def _write(head: bytearray, node: Node, number: int) -> None:
    place = node.place
    if stat.S_ISCHR(node.mode) or stat.S_ISBLK(node.mode):
        place = node.rdev
    elif node.layout == CHUNKED:
        place = node.unit - ondisk.BLOCK_BITS
    facts = ondisk.Inode(
        node.layout, node.mode, node.size, place, number, node.uid, node.gid, node.mtime_ns, node.links,
        node.xattrs,
    )  # fmt: skip
    packed = ondisk.inode(facts) + _tail(head, node)
    head[node.at : node.at + len(packed)] = packed


def _tail(head: bytearray, node: Node) -> bytes:
    """What follows the inode; whole blocks of a directory or link are written where they belong."""
    if node.layout == CHUNKED:
        table = [HOLE] * (node.tail // 4)
        for unit, block in _units(node, node.place):
            table[unit] = block
        return struct.pack(f"<{len(table)}I", *table)
    if node.directory:
        names = listed(node)
        parts = [
            ondisk.dirents([(names[at][0], names[at][1].number, names[at][1].mode) for at in rows])
            for rows in node.split
        ]
    elif stat.S_ISLNK(node.mode):
        parts = [node.target]
    else:
        return b""
    inline = parts.pop() if node.layout == INLINE else b""
    for offset, part in enumerate(parts):
        at = (node.place + offset) * BLOCK
        head[at : at + len(part)] = part
    return inline
