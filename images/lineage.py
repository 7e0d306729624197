"""What a new version changed, kept as patches of what its parent has: done while it is published, under the
store's lock, from the packs that its session wrote.

The new chunks of a file are compressed once more, in groups of a frame, with the old file's bytes before
them (those around the same place in a large one); push/match.py finds the old file. Laws: a patch is kept
only where it takes at most half of what its chunks take by themselves, and tried only where that is not
little; what it starts from lies in plain frames (for a file that was patched before, what that patch starts
from), and what others start from becomes no patch; where the parent cannot be read, or the disk is full, the
version stays as it is. Nothing of another session is touched, and a pack that anybody may have seen is left
to gc.
"""

from __future__ import annotations

import errno
import re
from binascii import unhexlify
from collections.abc import Iterable, Iterator
from contextlib import closing
from itertools import chain
from math import inf
from pathlib import Path
from typing import NamedTuple

from images.condemned import mark
from images.errors import ImageError
from images.groups import Group, grouped
from images.index import Index
from images.locator import PATCH, Locator
from images.locator_writer import build
from images.manifest import Chunk, Entry, parse_entry
from images.pack import SUFFIX, Trailer, delete_pack
from images.packstream import PackStream
from images.patchwork import patches
from images.push.match import LARGEST, shape
from images.rewriting import rewrite
from images.sessions import Marker
from images.shelf import Shelf
from images.spool import Spool

WORTH = 0.5  # of what the chunks take by themselves
TINY = 0.2  # of their bytes: where they take no more by themselves, a patch is work for little
LEAST = 64 << 10  # bytes of new chunks; fewer are not worth looking at the parent
MOST = 200_000  # files; those after are not patched
NEAR = 256 << 10  # bytes of an older patch's bases before and behind the place of a chunk
_ID = re.compile(rb'\["([0-9a-f]{64})",[0-9]+\]')
_PATH = re.compile(rb'\{"path":"([^"\\]*)"')


class Fresh(NamedTuple):
    """A session's own packs, and its marker."""

    packs: list[Trailer]
    marker: Marker


class _File(NamedTuple):
    path: bytes
    size: int
    chunks: tuple[Chunk, ...]


def patch(store: Shelf, index: Index, tree: Spool, parent: str, fresh: Fresh) -> list[bytes]:
    """Turn what can be into patches of the version `parent` (manifest id). The packs that this replaced: they
    are marked for deletion. Call under the store's lock. Raises OSError.
    """
    costs = {
        row.id: row.length * pack.frames[row.frame].stored / max(pack.frames[row.frame].raw, 1)
        for pack in fresh.packs
        for row in pack.chunks
    }
    if sum(row.length for pack in fresh.packs for row in pack.chunks) < LEAST:
        return []
    made = _Patcher(store, index, costs)
    try:
        pairs = _pairs(store, tree, parent, costs)
    except ImageError:  # `verify` tells of it; without its parent a version is stored as a first one is
        return []
    wanted = costs.keys() - index.all_bases()  # what others patched meanwhile stands on those
    trailers: list[Trailer] = []
    old: list[bytes] = []
    try:
        trailers = made.write(grouped(pairs, wanted, made.plain)) if pairs else []
        taken = {row.id for pack in trailers for row in pack.chunks}
        replaced = [pack for pack in fresh.packs if any(row.id in taken for row in pack.chunks)]
        for pack in replaced:
            rewrite(store, index, pack.id, {row.id for row in pack.chunks} - taken, ours=True)
        old = [pack.id for pack in replaced]
        mark(store, old)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        for id in old:
            (store.condemned / id.hex()).unlink(missing_ok=True)
        for pack in trailers:  # without them the version needs no more room
            delete_pack(store.packs / (pack.id.hex() + SUFFIX))
        return []
    if trailers:
        index.swap(old, trailers)
    return old


def discard(store: Shelf, packs: Iterable[bytes], locator: Locator, own: str, fresh: Fresh) -> None:
    """Delete packs that `patch` replaced, now that version `own` is published; where anybody else may read
    them gc will, in its time. Call under the store's lock.
    """
    began = fresh.marker.began
    if not fresh.marker.alone() or any(
        path.name != own and _written(path) > began for path in store.locators.iterdir()
    ):
        return
    used = set(locator.packs)
    for pack in packs:
        if pack.hex() not in used:
            delete_pack(store.packs / (pack.hex() + SUFFIX))
            (store.condemned / pack.hex()).unlink(missing_ok=True)


def _written(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:  # `verify` makes it anew just now
        return inf


class _Patcher:
    """Makes patches out of groups."""

    def __init__(self, store: Shelf, index: Index, costs: dict[bytes, float]) -> None:
        self._store, self._index, self._costs = store, index, costs
        self._plain: dict[bytes, tuple[Chunk, ...]] = {}
        self._bases: dict[bytes, dict[int, list[Chunk]]] = {}  # of packs with patches, by frame

    def plain(self, chunk: Chunk) -> tuple[Chunk, ...]:
        """What can be a base where that chunk is the old content: itself, or what it is a patch of."""
        found = self._plain.get(chunk.id)
        if found is None:
            found = self._plain[chunk.id] = tuple(self._look(chunk))
        return found

    def _look(self, chunk: Chunk) -> Iterator[Chunk]:
        where = self._index.find(chunk.id)
        if where is None or chunk.id in self._costs:
            return
        if where.codec != PATCH:
            yield chunk
            return
        bases = self._bases_of(where.pack, where.frame)
        scale = sum(one.length for one in bases) / max(where.raw, 1)
        place, low, high = 0, where.inner * scale - NEAR, (where.inner + where.length) * scale + NEAR
        for one in bases:  # in the order of what was made from them, about
            if place < high and place + one.length > low:
                yield one
            place += one.length

    def _bases_of(self, pack: bytes, frame: int) -> list[Chunk]:
        if pack not in self._bases:
            self._bases[pack] = {
                number: [
                    Chunk(id, base.length)
                    for id in ids
                    if (base := self._index.find(id)) is not None and base.codec != PATCH
                ]
                for number, ids in self._index.bases_in(pack).items()
            }
        return self._bases[pack].get(frame, [])

    def write(self, groups: Iterable[Group]) -> list[Trailer]:
        """Durable packs with the patches that were worth it. Raises OSError."""
        wanted = [group for group in groups if not self._tiny(group)]
        ids = set(chain.from_iterable((c.id for c in (*one.bases, *one.chunks)) for one in wanted))
        if not ids:
            return []
        self._store.allow_patches()
        locator = Locator.parse(build("", ids, self._index)[0])
        stream = PackStream(self._store.packs, self._store.temp)
        try:
            with closing(patches(wanted, locator, self._store.read_range, self._most)) as found:
                for made in found:
                    stream.copy(PATCH, made.stored, made.raw, made.members, made.bases)
            stream.flush()
        except BaseException:
            stream.abandon()
            raise
        finally:
            stream.close()
        return stream.finished

    def _tiny(self, group: Group) -> bool:
        return self._alone(group) < TINY * sum(chunk.length for chunk in group.chunks)

    def _most(self, group: Group) -> int:
        return int(WORTH * self._alone(group))

    def _alone(self, group: Group) -> float:
        """Bytes that its chunks take by themselves."""
        return sum(self._costs[chunk.id] for chunk in group.chunks)


def _pairs(store: Shelf, tree: Spool, parent: str, fresh: dict[bytes, float]) -> list[tuple[_File, _File]]:
    """(old, new) of each file with new chunks for which there is an old one. Raises ImageError."""
    news = list(_new(tree, fresh))
    paths = {one.path for one in news}
    shapes = {shape(path) for path in paths}
    files: dict[bytes, _File] = {}
    moved: dict[bytes, list[_File]] = {}
    for line in store.manifest(parent).lines():
        known = _PATH.match(line)
        path = known[1] if known else None
        if path is not None and path not in paths and (
            shape(path) not in shapes or tree.record(path) is not None
        ):
            continue
        one = _slim(parse_entry(line))
        if one is not None:
            files[one.path] = one
            if tree.record(one.path) is None:
                moved.setdefault(shape(one.path), []).append(one)
    found = []
    for new in news:
        old = files.get(new.path) or min(
            moved.get(shape(new.path), ()), key=lambda one: abs(one.size - new.size), default=None
        )
        if old is not None:
            found.append((old, new))
    return found


def _new(tree: Spool, fresh: dict[bytes, float]) -> Iterator[_File]:
    count = 0
    for line in tree.lines():
        if any(unhexlify(id) in fresh for id in _ID.findall(line)):
            one = _slim(parse_entry(line))
            if one is not None and count < MOST:
                count += 1
                yield one


def _slim(entry: Entry) -> _File | None:
    if entry.type != "file" or entry.extents is not None or not 0 < entry.size <= LARGEST:
        return None
    return _File(entry.path, entry.size, entry.chunks)
