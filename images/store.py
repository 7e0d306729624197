"""The image store: a directory that holds every version of every image, each chunk once.

    format.json        what this is
    packs/ID.pack      chunks (pack.py)            manifests/ID    sealed manifests (sealed.py)
    names/NAME.book    versions and tags           locators/ID     where a version's chunks are (locator.py)
    names/NAME.spare   the same once more
    store.pub          public key, 32 bytes        keys/           private key, for its owner alone
    index.db           a cache (index.py)          temp, sessions, condemned, lock: the writers' own

Whoever serves nodes needs packs, manifests, locators, names and store.pub, all plain files, and never writes.
Law: versions are immutable; everything is written beside its place, forced to disk and renamed.
"""

from __future__ import annotations

from collections.abc import Iterator

from images import catalogue
from images.disk import locked
from images.errors import BadInput, ImageNotFound
from images.gc import GcReport, collect
from images.problem import Problem
from images.progress import Progress, silent
from images.rebuild import lost, lost_names
from images.session import Session
from images.shelf import Shelf
from images.verify import verify
from images.versions import LATEST, Version, split_ref


class ImageStore(Shelf):
    """One store. Cheap to open; safe to use from several processes at once."""

    def writer(self) -> Session:
        """Start an import; see Session."""
        return Session(self)

    def lost(self) -> list[str]:
        """What is wrong with images that are there but in no list any more, a line each."""
        return [lost(self, name) for name in lost_names(self)]

    def tag(self, ref: str, tag: str) -> Version:
        """Point `tag` at a version. Raises ImageNotFound, BadInput."""
        with locked(self.lock):
            book, version = catalogue.find(self.names_dir, ref)
            book.tag(version.number, tag)
            catalogue.save(self.names_dir, self.temp, book)
            return book.get(version.number)

    def untag(self, name: str, tag: str) -> None:
        """Remove a tag. Raises ImageNotFound."""
        with locked(self.lock):
            book = catalogue.load(self.names_dir, name)
            if book.tags.pop(tag, None) is None:
                raise ImageNotFound(f"image {name} has no tag {tag!r}")
            catalogue.save(self.names_dir, self.temp, book)

    def remove(self, ref: str) -> Version:
        """Remove one version (its bytes go with the next gc). `ref` must say which: NAME@NUMBER or NAME@TAG.

        Raises ImageConflict while it is tagged. Whether a node uses it is for the caller to know.
        """
        name, selector = split_ref(ref)
        with locked(self.lock):
            book, version = catalogue.find(self.names_dir, ref)
            if selector == LATEST and len(book.versions) > 1:
                raise BadInput(f"{name} has {len(book.versions)} versions; say which: {version.ref} ...")
            book.remove(version.number)
            catalogue.save(self.names_dir, self.temp, book)
        return version

    def gc(self, progress: Progress = silent, grace: float = 3600.0) -> GcReport:
        """Give back the room of chunks that no version uses; safe beside writers and readers. See gc.py."""
        return collect(self, progress, grace)

    def verify(self, progress: Progress = silent, repair: bool = False) -> Iterator[Problem]:
        """Check every byte; yields what is wrong and what to do. See verify.py."""
        return verify(self, progress, repair)
