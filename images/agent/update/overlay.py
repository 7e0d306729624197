"""What this machine lays on top of the image: its overrides, and files that both sides have a part in.

Each becomes a manifest line of its own that takes the place of the image's, and its bytes a seed; so the rest
of an update needs no exception for it. Python 3.8, standard library only.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Callable, Dict, List, NamedTuple

from images.agent.rootfs import Root
from images.agent.update.lists import EXCLUDE_FILE, OVERRIDES, OWN, RUNTIME, merge_shadow, parse_patterns
from images.manifest import Chunk, Entry, Header, order, parse_entry, write_entry

if TYPE_CHECKING:
    from images.agent.update.seeds import Seeds
    from images.fetch import ChunkSource

PIECE = 1 << 20
SHADOWS = (b"etc/shadow", b"etc/gshadow")


class Overlay(NamedTuple):
    """`lines` by path replace or join the image's; `held`: chunks in memory; `files`: entries whose bytes lie
    below OVERRIDES.
    """

    lines: Dict[bytes, bytes]
    files: List[Entry]
    held: Dict[bytes, bytes]

    def seed(self, seeds: Seeds) -> None:
        """Offers what we have."""
        below = OVERRIDES.strip("/").encode()
        for entry in self.files:
            seeds.add_file(entry._replace(path=below + b"/" + entry.path))
        for id, data in self.held.items():
            seeds.add_bytes(id, data)


def patterns(root: Root, header: Header) -> List[str]:
    """Every exclude pattern that counts here."""
    return [*RUNTIME, *OWN, *listed(root, header)]


def listed(root: Root, header: Header) -> List[str]:
    """Those that somebody wrote: for this machine, or for the image."""
    image = header.meta.get("update_excludes")
    more = [str(one) for one in image] if isinstance(image, (list, tuple)) else []
    return [*parse_patterns(root.read_text(EXCLUDE_FILE)), *more]


def own_patterns(root: Root) -> List[str]:
    """Those that are not the image's."""
    return [*RUNTIME, *OWN, *parse_patterns(root.read_text(EXCLUDE_FILE))]


def overrides(root: Path) -> Overlay:
    """The tree below OVERRIDES, files cut into pieces of fixed size."""
    made = Overlay({}, [], {})
    top = root / OVERRIDES.strip("/")
    if not top.is_dir():
        return made
    from images.tree_reader import read_tree  # only here: few machines have any

    for found in read_tree(top, excludes=()):
        entry = found.entry
        if found.fd is not None:
            entry = entry._replace(chunks=tuple(_chunks(found.fd, entry)))
            made.files.append(entry)
        if entry.path:
            made.lines[entry.path] = write_entry(entry).rstrip(b"\n")
    return made


def _chunks(fd: int, entry: Entry) -> Iterator[Chunk]:
    from images.tree_reader import DataReader

    reader = DataReader(fd, entry)
    while piece := reader.read(PIECE):
        yield Chunk(hashlib.sha256(piece).digest(), len(piece))


def shared(
    made: Overlay, root: Root, base: Mapping[bytes, bytes], wanted: Dict[bytes, bytes], source: ChunkSource
) -> None:
    """Password files: the new image's accounts with this machine's passwords. One that did not change in the
    image stays as it is.
    """
    for path in SHADOWS:
        line = wanted.get(path)
        if line is None or path in made.lines:
            continue
        entry = parse_entry(line)
        mine = root.read_text("/" + path.decode())
        if base.get(path) == line or entry.type != "file" or not mine:
            continue
        image = b"".join(source.stream(chunk.id for chunk in entry.chunks)).decode("utf-8", "surrogateescape")
        data = merge_shadow(image, mine).encode("utf-8", "surrogateescape")
        chunk = Chunk(hashlib.sha256(data).digest(), len(data))
        made.held[chunk.id] = data
        made.lines[path] = write_entry(entry._replace(size=len(data), extents=None, chunks=(chunk,))).rstrip(
            b"\n"
        )


def laid_over(
    lines: Iterable[bytes], over: Dict[bytes, bytes], path_of: Callable[[bytes], bytes]
) -> Iterator[bytes]:
    """The image's lines with ours in their places. A directory that both have is the image's."""
    waiting = sorted(over, key=order)[::-1]
    for line in lines:
        path = path_of(line)
        while waiting and order(waiting[-1]) < order(path):
            yield over[waiting.pop()]
        if waiting and waiting[-1] == path:
            mine = over[waiting.pop()]
            both = parse_entry(mine).type == parse_entry(line).type == "dir"
            yield line if both else mine
        else:
            yield line
    while waiting:
        yield over[waiting.pop()]


def fingerprint(patterns: Iterable[str], made: Overlay, more: bytes) -> bytes:
    """Changes when any list or override does, or `more`. With a manifest's id it stands for all that an
    update depends on.
    """
    state = hashlib.blake2b("\n".join(patterns).encode("utf-8", "surrogateescape"), digest_size=16)
    state.update(b"\0" + more + b"\0")
    for path in sorted(made.lines):
        state.update(made.lines[path])
    return state.digest()


def left_shadows(made: Overlay) -> List[str]:
    """Patterns for the password files that are left alone."""
    return ["/" + os.fsdecode(path) for path in SHADOWS if path not in made.lines]
