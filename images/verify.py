"""Check everything a store holds, say which image and file each damage hurts, and mend what can be mended.

Law: every bit counts. Packs are hashed frame by frame and chunk by chunk, their indexes and the manifests by
their ids and signatures, locators against the packs they point into, the index cache against the packs.
What cannot be mended here (a chunk whose only copy is damaged) is dropped from the index by `repair`, so that
importing the same content once more brings it back, for every version that uses it. Each damage is told with
what became of it, so with `repair` after its mending.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from images import catalogue, keypair, locator_check
from images.condemned import condemn
from images.disk import locked
from images.errors import BadInput, ImageError, SignatureInvalid
from images.index import Index
from images.marks import marked
from images.names_check import check_names
from images.pack import SUFFIX, Trailer, read_trailer
from images.problem import REPAIR, Problem, again, repair_then_again
from images.progress import Progress
from images.rewriting import opened, rewrite
from images.sealed import SealedManifest, open_sealed
from images.shelf import Shelf
from images.versions import LATEST, Version

_REBUILT = "nothing to do: it was rebuilt from the packs"
_COPIES = "mended from the copies in other packs"
_KEPT = "taken out of use; what was whole in it is kept, what is lost is told with the versions that need it"
_WITH = "nothing to do for it alone: it is whole again with the chunks that those start from"


class _Hurt(NamedTuple):
    """A pack's damage, and what must be found elsewhere for nothing of it to be lost: its damaged chunks, or
    what its patches start from. None where nobody knows what was in it.
    """

    pack: bytes
    problem: Problem
    needed: set[bytes] | None
    patches: bool = False


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
        key = keypair.look(store, repair)
        if key is not None:
            yield Problem(str(key.path), key.text, key.repair, key.mended)
        if reason := index.damaged.get(store.index.name):
            yield Problem(str(store.index), f"was damaged ({reason})", _REBUILT, mended=True)
        hurt = []
        for one in check.packs():
            hurt.append(one)
            if not repair:
                yield one.problem
        yield from check.cache()
        usable = key is None or key.usable
        if usable:  # else every manifest would be told forged, and none be in a catalogue made anew
            yield from check_names(store, repair)
        if repair:
            with locked(store.lock):
                check.mend_packs()
            yield from check.mended(hurt)
        if usable:
            yield from check.versions(repair)
    finally:
        index.close()


class _Check:
    def __init__(self, store: Shelf, index: Index, progress: Progress, repair: bool) -> None:
        self._store = store
        self._index = index
        self._progress = progress
        self._bad: set[bytes] = set()  # chunks whose indexed copy is damaged
        self._bad_packs: set[bytes] = set()
        self._orphans = False  # patches of what is lost: they stay, since that may come back
        self._cache_wrong = False
        self._seen = 0
        self._offered = set(index.packs())

    def packs(self) -> Iterator[_Hurt]:
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
                known = {id for id, _ in self._index.chunks_of(pack)}
                self._bad.update(known)
                problem = Problem(str(path), str(err).removeprefix(f"{path}: "), REPAIR)
                yield _Hurt(pack, problem, known or None)
                continue
            yield from self._pack(path, trailer)
            done += path.stat().st_size
            self._progress(done, total, path.name)

    def _pack(self, path: Path, trailer: Trailer) -> Iterator[_Hurt]:
        """Damaged chunks of one pack; also compares the index with it."""
        pack, bad, orphans, starts = trailer.id, set[bytes](), set[bytes](), set[bytes]()
        if pack in self._offered:
            self._cache_wrong |= self._index.bases_in(pack) != trailer.bases
        for frame in opened(self._store, self._index, pack, trailer):
            if frame.lost:
                starts.update(trailer.bases[frame.number])
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
            text = f"{len(bad)} of its {count} chunks are damaged"
            yield _Hurt(pack, Problem(str(path), text, REPAIR), bad)
        if orphans:
            text = f"some of its {count} chunks are patches of chunks that are damaged or missing"
            yield _Hurt(pack, Problem(str(path), text, _WITH), starts, patches=True)

    def cache(self) -> Iterator[Problem]:
        """The index against what the packs said."""
        if self._cache_wrong or (not self._bad_packs and self._seen != self._index.count()):
            self._index.rebuild(marked(self._store.condemned))
            yield Problem(str(self._store.index), "did not match the packs", _REBUILT, mended=True)

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
        known = {id for id in self._bad if self._index.has(id)}
        self._bad -= known - self._index.orphans()  # of the others there are whole copies

    def mended(self, hurt: list[_Hurt]) -> Iterator[Problem]:
        """What became of the packs."""
        for pack, problem, needed, patches in hurt:
            if needed and all(self._index.has(id) for id in needed):
                yield problem._replace(repair=_COPIES, mended=True)
            elif not patches:
                yield problem._replace(repair=_KEPT, mended=True)
            elif pack not in self._bad_packs:  # else they are in another pack now
                yield problem

    def versions(self, repair: bool) -> Iterator[Problem]:
        """Manifests, their chunks, their locators; what is lost comes last: one remedy is for all."""
        lost: list[Problem] = []
        for name in self._store.names():
            try:
                book = catalogue.load(self._store.names_dir, name)
            except ImageError:
                continue  # reported by names()
            for version in book.listed():
                self._progress(0, None, f"checking {version.ref}")
                for problem in self._version(version, repair):
                    if problem.hurt:
                        lost.append(problem)
                    else:
                        yield problem
        for way in {problem.repair: None for problem in lost}:
            some = [problem for problem in lost if problem.repair == way]
            names = {problem.hurt.partition("@")[0] for problem in some}
            remedy = repair_then_again(names) if way else again(names)
            yield from (problem._replace(repair=remedy) for problem in some)

    def _version(self, version: Version, repair: bool) -> Iterator[Problem]:
        ref, id = version.ref, version.id
        path = self._store.manifests / id
        tags = [tag for tag in version.tags if tag != LATEST]
        backup = f"restore it from a backup or remove {ref}"
        if tags:
            backup += f", after its tag {' and '.join(tags)}"
        if not path.exists():
            yield Problem(str(path), f"{ref}: its manifest is gone", backup)
            return
        try:
            hurt = self._hurt(id)
        except (BadInput, SignatureInvalid, ImageError) as err:
            yield Problem(str(path), f"{ref}: {str(err).removeprefix(f'{path}: ')}", backup)
            return
        # Without a locator, and with nothing damaged in use, a repair was there already.
        first = "" if repair or (not self._bad and not (self._store.locators / id).exists()) else REPAIR
        for name in hurt:
            yield Problem(str(path), f"{ref}: {name} has lost chunks", first, hurt=ref)
        reason = None if hurt else locator_check.wrong(self._store, self._sealed(id))
        if reason:
            how = "mended from manifest and packs" if repair else REPAIR
            yield Problem(str(self._store.locators / id), f"{ref}: {reason}", how, repair)
        if repair and (hurt or reason or self._bad_packs or self._orphans):
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
