"""Check everything a store holds, say which image and file each damage hurts, and mend what can be mended.

Law: every bit counts. Packs are hashed frame by frame and chunk by chunk, their indexes and the manifests by
their ids and signatures, locators against the packs they point into, the index cache against the packs.
What cannot be mended here (a chunk whose only copy is damaged) is dropped from the index by `repair`, so that
importing the same content once more brings it back, for every version that uses it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import NamedTuple

from images import catalogue
from images.condemned import condemn
from images.disk import locked
from images.errors import BadInput, ImageError, SignatureInvalid
from images.fetch import unpack
from images.gc import rewrite
from images.index import Index
from images.locator import Frame, Locator
from images.marks import marked
from images.pack import SUFFIX, Trailer, read_frames, read_trailer
from images.progress import Progress
from images.rebuild import rebuild_names
from images.shelf import Shelf

_AGAIN = "import the image again from its source"
_FIRST = "run `bootsrv image verify --repair`, then "


class Problem(NamedTuple):
    """One damage: the file in the store, what is wrong and whom it hurts, and what to do about it."""

    path: str
    text: str
    repair: str


def verify(store: Shelf, progress: Progress, repair: bool) -> Iterator[Problem]:
    """See ImageStore.verify. Problems come as they are found; with `repair`, mending follows the reading."""
    index = store.open_index()
    try:
        check = _Check(store, index, progress, repair)
        yield from check.key()
        yield from check.packs()
        yield from check.cache()
        yield from check.names(repair)
        if repair:
            with locked(store.lock):
                check.mend_packs()
        yield from check.versions(repair)
    finally:
        index.close()


class _Check:
    def __init__(self, store: Shelf, index: Index, progress: Progress, repair: bool) -> None:
        self._store = store
        self._lost = _AGAIN if repair else _FIRST + _AGAIN
        self._index = index
        self._progress = progress
        self._bad: set[bytes] = set()  # chunks whose indexed copy is damaged
        self._bad_packs: set[bytes] = set()
        self._cache_wrong = False
        self._seen = 0
        self._offered = set(index.packs())

    def key(self) -> Iterator[Problem]:
        """The public key against the private one, where this process may read it."""
        try:
            self._store.private_key()
        except PermissionError:
            return
        except ImageError as err:
            yield Problem(str(self._store.root / "store.pub"), str(err), "restore both keys from a backup")

    def packs(self) -> Iterator[Problem]:
        """Every frame and chunk of every pack."""
        waiting = marked(self._store.condemned)  # for deletion: nobody reads them any more
        paths = [
            p for p in sorted(self._store.packs.glob("*" + SUFFIX)) if bytes.fromhex(p.stem) not in waiting
        ]
        total = sum(path.stat().st_size for path in paths)
        done = 0
        for path in paths:
            pack = bytes.fromhex(path.stem)
            try:
                trailer = read_trailer(path)
                if trailer.id != pack:
                    raise BadInput(f"{path}: holds another pack's content")
            except FileNotFoundError:  # taken by gc
                continue
            except BadInput as err:
                self._bad_packs.add(pack)
                self._bad.update(id for id, _ in self._index.chunks_of(pack))
                yield Problem(str(path), str(err).removeprefix(f"{path}: "), self._lost)
                continue
            bad = self._pack(pack, trailer)
            if bad:
                self._bad_packs.add(pack)
                text = f"{len(bad)} of its {len(trailer.chunks)} chunks are damaged"
                yield Problem(str(path), text, self._lost)
            done += path.stat().st_size
            self._progress(done, total, path.name)

    def _pack(self, pack: bytes, trailer: Trailer) -> set[bytes]:
        """Damaged chunks of one pack; also compares the index with it."""
        by_frame: dict[int, list[tuple[bytes, int, int]]] = {}
        for row in trailer.chunks:
            by_frame.setdefault(row.frame, []).append((row.id, row.inner, row.length))
        bad: set[bytes] = set()
        for number, stored in read_frames(self._store.packs / (pack.hex() + SUFFIX), trailer):
            frame = trailer.frames[number]
            members = by_frame.get(number, [])
            raw = b""
            if hashlib.sha256(stored).digest() == frame.digest:
                try:
                    raw = unpack(Frame(pack.hex(), *frame[:4]), stored)
                except BadInput:
                    raw = b""
            for id, inner, length in members:
                where = self._index.find(id)
                mine = where is not None and where.pack == pack
                if hashlib.sha256(raw[inner : inner + length]).digest() != id:
                    bad.add(id)
                    if mine:
                        self._bad.add(id)
                expected = (number, *frame[:4], inner, length)
                if mine and where is not None:
                    self._seen += 1
                    self._cache_wrong |= where[1:] != expected
                elif where is None and pack in self._offered:
                    self._cache_wrong = True
        return bad

    def cache(self) -> Iterator[Problem]:
        """The index against what the packs said."""
        if self._cache_wrong or (not self._bad_packs and self._seen != self._index.count()):
            self._index.rebuild(marked(self._store.condemned))
            path = str(self._store.root / "index.db")
            yield Problem(path, "does not match the packs", "nothing to do: it was rebuilt from them")

    def names(self, repair: bool) -> Iterator[Problem]:
        """The catalogues."""
        damaged = []
        for name in self._store.names():
            try:
                catalogue.load(self._store.names_dir, name)
            except ImageError as err:
                damaged.append(name)
                yield Problem(
                    str(self._store.names_dir / f"{name}{catalogue.SUFFIX}"), str(err), _mended(repair)
                )
        if damaged and repair:
            rebuild_names(self._store, damaged)

    def mend_packs(self) -> None:
        """Copy what is whole out of damaged packs, and stop offering those. Call under the store's lock."""
        for pack in self._bad_packs:
            path = self._store.packs / (pack.hex() + SUFFIX)
            try:
                whole = {id for id, _ in self._index.chunks_of(pack)} - self._bad
                if read_trailer(path).id == pack:
                    rewrite(self._store, self._index, pack, whole)
            except (BadInput, FileNotFoundError):
                pass  # nothing in it can be told apart any more: all its chunks are lost
        condemn(self._store, self._index, self._bad_packs, damaged=True)

    def versions(self, repair: bool) -> Iterator[Problem]:
        """Manifests, their chunks, their locators."""
        for name in self._store.names():
            try:
                book = catalogue.load(self._store.names_dir, name)
            except ImageError:
                continue  # reported by names()
            for version in book.listed():
                self._progress(0, None, f"checking {version.ref}")
                yield from self._version(version.ref, version.id, repair)

    def _version(self, ref: str, id: str, repair: bool) -> Iterator[Problem]:
        path = self._store.manifests / id
        backup = f"restore it from a backup or remove {ref}"
        if not path.exists():
            yield Problem(str(path), f"{ref}: its manifest is gone", backup)
            return
        try:
            hurt = self._hurt(id)
        except (BadInput, SignatureInvalid, ImageError) as err:
            yield Problem(str(path), f"{ref}: {str(err).removeprefix(f'{path}: ')}", backup)
            return
        yield from (Problem(str(path), f"{ref}: {name} has lost chunks", self._lost) for name in hurt[:20])
        if len(hurt) > 20:
            yield Problem(str(path), f"{ref}: {len(hurt) - 20} more files are hurt", self._lost)
        reason = self._locator(id)
        if reason:
            yield Problem(str(self._store.locators / id), f"{ref}: {reason}", _mended(repair))
        if repair and (reason or self._bad_packs):
            (self._store.locators / id).unlink(missing_ok=True)
            if not hurt:
                self._store.rebuild_locator(id)

    def _hurt(self, id: str) -> list[str]:
        return [
            entry.name
            for entry in self._store.manifest(id).entries()
            if any(chunk.id in self._bad or not self._index.has(chunk.id) for chunk in entry.chunks)
        ]

    def _locator(self, id: str) -> str | None:
        """What is wrong with a locator, by comparing it with the packs' own indexes."""
        try:
            locator = Locator.parse((self._store.locators / id).read_bytes())
            wanted = {chunk.id for chunk in self._store.manifest(id).chunks()}
            if locator.manifest != id or len(locator) != len(wanted):
                return "its locator belongs to something else"
            return self._places(locator, wanted)
        except FileNotFoundError:
            return "its locator is gone"
        except ImageError as err:
            return str(err)

    def _places(self, locator: Locator, wanted: set[bytes]) -> str | None:
        by_pack: dict[str, set[tuple[bytes, tuple[int, ...]]]] = {}
        for id in wanted:
            place = locator.find(id)
            frame = locator.frame(place.frame)
            by_pack.setdefault(frame.pack, set()).add((id, (*frame[1:], place.inner, place.length)))
        for pack, places in by_pack.items():
            try:
                trailer = read_trailer(self._store.packs / (pack + SUFFIX))
            except (BadInput, FileNotFoundError) as err:
                return f"its locator points into a pack that cannot be read: {err}"
            rows = {
                (row.id, (*trailer.frames[row.frame][:4], row.inner, row.length)) for row in trailer.chunks
            }
            if not places <= rows:
                return "its locator points to wrong places"
        return None


def _mended(repair: bool) -> str:
    return "mended" if repair else "run `bootsrv image verify --repair`"
