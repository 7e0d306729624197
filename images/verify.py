"""Check everything a store holds, say which image and file each damage hurts, and mend what can be mended.

Law: every bit counts. Packs are hashed frame by frame and chunk by chunk, their indexes and the manifests by
their ids and signatures, locators against the packs they point into, the index cache against the packs.
What cannot be mended here (a chunk whose only copy is damaged) is dropped from the index by `repair`, so that
importing the same content once more brings it back, for every version that uses it.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from images import catalogue
from images.condemned import condemn
from images.disk import locked
from images.errors import BadInput, ImageError, SignatureInvalid
from images.index import Index
from images.locator import Frame, Locator, Place
from images.marks import marked
from images.pack import SUFFIX, Trailer, read_trailer
from images.progress import Progress
from images.rebuild import lost_names, rebuild_names
from images.rewriting import opened, rewrite
from images.sealed import SealedManifest, open_sealed
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
    try:
        index = store.open_index()
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        index = store.open_index(memory=True)
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
        self._orphans = False  # patches of what is lost: they stay, since that may come back
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
            yield from self._pack(path, trailer)
            done += path.stat().st_size
            self._progress(done, total, path.name)

    def _pack(self, path: Path, trailer: Trailer) -> Iterator[Problem]:
        """Damaged chunks of one pack; also compares the index with it."""
        pack, bad, orphans = trailer.id, set[bytes](), set[bytes]()
        if pack in self._offered:
            self._cache_wrong |= self._index.bases_in(pack) != trailer.bases
        for frame in opened(self._store, self._index, pack, trailer):
            for id, inner, length in frame.members:
                where = self._index.find(id)
                mine = where is not None and where.pack == pack
                if id not in frame.whole:
                    (orphans if frame.lost else bad).add(id)
                    if mine:
                        self._bad.add(id)
                expected = (frame.number, *frame.row[:4], inner, length)
                if mine and where is not None:
                    self._seen += 1
                    self._cache_wrong |= where[1:] != expected
                elif where is None and pack in self._offered:
                    self._cache_wrong = True
        if bad:
            self._bad_packs.add(pack)
        self._orphans |= bool(orphans)
        count = len(trailer.chunks)
        if bad:
            yield Problem(str(path), f"{len(bad)} of its {count} chunks are damaged", self._lost)
        if orphans:
            text = f"{len(orphans)} of its {count} chunks are patches of chunks that are damaged or missing"
            yield Problem(str(path), text, self._lost)

    def cache(self) -> Iterator[Problem]:
        """The index against what the packs said."""
        if self._cache_wrong or (not self._bad_packs and self._seen != self._index.count()):
            self._index.rebuild(marked(self._store.condemned))
            path = str(self._store.index)
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
        for name, paths in lost_names(self._store).items():
            damaged.append(name)
            book = str(self._store.names_dir / f"{name}{catalogue.SUFFIX}")
            readable = any(self._opens(path) for path in paths)
            beside = "restore it from a backup, or remove these manifests"
            text = f"is lost; manifests of {name}: {', '.join(path.name[:12] for path in paths)}"
            yield Problem(book, text, _mended(repair) if readable else beside)
        if damaged and repair:
            rebuild_names(self._store, damaged)

    def _opens(self, path: Path) -> bool:
        try:
            self._sealed(path.name)
        except ImageError:
            return False
        return True

    def mend_packs(self) -> None:
        """Copy what is whole out of damaged packs, and stop offering those. Call under the store's lock."""
        for patches in (False, True):  # what they start from is put in order first
            batch = [pack for pack in self._bad_packs if bool(self._index.bases_in(pack)) is patches]
            for pack in batch:
                whole = {id for id, _ in self._index.chunks_of(pack)}
                try:
                    if read_trailer(self._store.packs / (pack.hex() + SUFFIX)).id == pack:
                        rewrite(self._store, self._index, pack, whole)
                except (BadInput, FileNotFoundError):
                    pass  # nothing in it can be told apart any more: all its chunks are lost
            condemn(self._store, self._index, batch, damaged=True)

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
        if repair and (reason or self._bad_packs or self._orphans):
            (self._store.locators / id).unlink(missing_ok=True)
            if not hurt:
                self._store.rebuild_locator(id)

    def _sealed(self, id: str) -> SealedManifest:
        return open_sealed(self._store.manifests / id, self._store.public_key(), id)

    def _hurt(self, id: str) -> list[str]:
        return [
            entry.name
            for entry in self._sealed(id).entries()
            if any(chunk.id in self._bad or not self._index.has(chunk.id) for chunk in entry.chunks)
        ]

    def _locator(self, id: str) -> str | None:
        """What is wrong with a locator, by comparing it with the packs' own indexes."""
        try:
            locator = Locator.parse((self._store.locators / id).read_bytes())
            wanted = {chunk.id for chunk in self._sealed(id).chunks()}
            if locator.manifest != id or len(locator) != len(wanted):
                return "its locator belongs to something else"
            return self._places(locator, wanted)
        except FileNotFoundError:
            return "its locator is gone"
        except ImageError as err:
            return str(err)

    def _places(self, locator: Locator, wanted: set[bytes]) -> str | None:
        packs = _Packs(self._store)
        try:
            for id in wanted:
                place = locator.find(id)
                if not packs.hold(locator, id, place):
                    return "its locator points to wrong places"
            for number in range(locator.frames):
                ids, places = packs.bases(locator.frame(number)), locator.bases(number)
                if len(ids) != len(places) or not all(
                    packs.hold(locator, id, place) for id, place in zip(ids, places, strict=True)
                ):
                    return "its locator has wrong bases for a patch"
        except (BadInput, FileNotFoundError) as err:
            return f"its locator points into a pack that cannot be read: {err}"
        return None


class _Packs:
    """The packs' own indexes, to look locators up in."""

    def __init__(self, store: Shelf) -> None:
        self._store = store
        self._rows: dict[str, set[tuple[bytes, tuple[int, ...]]]] = {}
        self._bases: dict[str, dict[int, tuple[bytes, ...]]] = {}

    def hold(self, locator: Locator, id: bytes, place: Place) -> bool:
        """Whether that chunk lies there. Raises BadInput, FileNotFoundError."""
        frame = locator.frame(place.frame)
        self._read(frame.pack)
        return (id, (*frame[1:], place.inner, place.length)) in self._rows[frame.pack]

    def bases(self, frame: Frame) -> tuple[bytes, ...]:
        """What that frame is a patch of. Raises BadInput, FileNotFoundError."""
        self._read(frame.pack)
        return self._bases[frame.pack].get(frame.offset, ())

    def _read(self, pack: str) -> None:
        if pack in self._rows:
            return
        trailer = read_trailer(self._store.packs / (pack + SUFFIX))
        self._rows[pack] = {
            (row.id, (*trailer.frames[row.frame][:4], row.inner, row.length)) for row in trailer.chunks
        }
        self._bases[pack] = {trailer.frames[n].offset: ids for n, ids in trailer.bases.items()}


def _mended(repair: bool) -> str:
    return "mended" if repair else "run `bootsrv image verify --repair`"
