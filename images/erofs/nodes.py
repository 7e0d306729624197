"""The tree of a manifest as inodes that have no place yet: names gathered by directory, hard links counted.

Memory is proportional to the number of files, about 1 KiB each: whoever serves does this in a process that
ends.
"""

from __future__ import annotations

import stat
from collections.abc import Iterable
from dataclasses import dataclass, field

from images.erofs import ondisk
from images.erofs.ondisk import BLOCK
from images.manifest import Chunk, Entry

_TYPE = {
    "dir": stat.S_IFDIR, "file": stat.S_IFREG, "symlink": stat.S_IFLNK, "fifo": stat.S_IFIFO,
    "char": stat.S_IFCHR, "block": stat.S_IFBLK, "socket": stat.S_IFSOCK,
}  # fmt: skip
_MOST_CHUNKS = 1 << 14  # rows in a sparse file's table of blocks; a larger file gets larger units


@dataclass(slots=True)
class Node:
    """One inode in the making. `names`: of a directory, (name, node). `tail`: bytes to follow the inode,
    known once places are; `blocks`: whole blocks of metadata that it needs besides."""

    mode: int
    uid: int
    gid: int
    mtime_ns: int
    size: int = 0
    xattrs: bytes = b""
    rdev: int = 0
    links: int = 1
    target: bytes = b""
    chunks: tuple[Chunk, ...] = ()
    extents: tuple[tuple[int, int], ...] | None = None
    names: list[tuple[bytes, Node]] = field(default_factory=list)
    split: list[list[int]] = field(default_factory=list)
    parent: Node | None = None
    layout: int = ondisk.PLAIN
    tail: int = 0
    blocks: int = 0
    unit: int = 0  # of a sparse file: log2 of the bytes that one row of its table stands for
    at: int = 0  # offset of the inode in the metadata
    place: int = 0  # block number of its blocks or data

    @property
    def number(self) -> int:
        return self.at // ondisk.SLOT

    @property
    def directory(self) -> bool:
        return stat.S_ISDIR(self.mode)


def gather(entries: Iterable[Entry]) -> tuple[list[Node], list[str]]:
    """(nodes, root first, a directory's own names together; what EROFS cannot hold, for a person).

    Raises BadInput for what no file system holds.
    """
    byname: dict[bytes, Node] = {}
    left_out: list[str] = []
    for entry in entries:
        if entry.type == "hardlink":
            node = byname[entry.target]
            node.links += 1
        else:
            node = _node(entry, left_out)
        byname[entry.path] = node
        if entry.path:
            above, _, name = entry.path.rpartition(b"/")
            folder = byname[above]
            folder.names.append((name, node))
            if node.directory:
                node.parent = folder
                folder.links += 1
    root = byname[b""]
    root.parent = root
    return _ordered(root), left_out


def _node(entry: Entry, left_out: list[str]) -> Node:
    xattrs, missing = ondisk.xattrs(entry.xattrs)
    left_out += [f"{entry.name}: {name}" for name in missing]
    node = Node(
        entry.mode | _TYPE[entry.type], entry.uid, entry.gid, entry.mtime_ns, entry.size, xattrs,
        chunks=entry.chunks, extents=entry.extents, target=entry.target,
    )  # fmt: skip
    if entry.rdev is not None:
        node.rdev = ondisk.device_number(*entry.rdev)
    if node.directory:
        node.links = 2
    return node


def _ordered(root: Node) -> list[Node]:
    """Whoever lists a directory with all its facts reads a few neighbouring blocks."""
    out, todo, seen = [root], [root], {id(root)}
    while todo:
        folder = todo.pop()
        _shape_directory(folder)
        for _, node in folder.names:
            if id(node) not in seen:
                seen.add(id(node))
                out.append(node)
                _shape(node)
        todo += [node for _, node in reversed(folder.names) if node.directory]
    return out


def listed(folder: Node) -> list[tuple[bytes, Node]]:
    """Its names as they lie on disk: with `.` and `..`, sorted as bytes."""
    assert folder.parent is not None
    return sorted([(b".", folder), (b"..", folder.parent), *folder.names], key=lambda row: row[0])


def _shape_directory(node: Node) -> None:
    names = [name for name, _ in listed(node)]
    node.split = ondisk.split_names(names)
    last = ondisk.names_size([names[position] for position in node.split[-1]])
    node.size = (len(node.split) - 1) * BLOCK + last
    _inline(node, last)
    node.blocks = len(node.split) - (1 if node.layout == ondisk.INLINE else 0)


def _shape(node: Node) -> None:
    if stat.S_ISLNK(node.mode):
        node.size = len(node.target)
        _inline(node, node.size)
        node.blocks = 0 if node.layout == ondisk.INLINE else -(-node.size // BLOCK)
    elif stat.S_ISREG(node.mode) and node.extents is not None:
        node.layout, node.unit = ondisk.CHUNKED, ondisk.BLOCK_BITS
        while -(-node.size >> node.unit) > _MOST_CHUNKS:
            node.unit += 1
        node.tail = 4 * -(-node.size >> node.unit)


def _inline(node: Node, tail: int) -> None:
    """What follows an inode must end in the block it begins in."""
    if tail > 0 and ondisk.INODE_SIZE + len(node.xattrs) + tail <= BLOCK:
        node.layout, node.tail = ondisk.INLINE, tail
