"""Make damaged and lost catalogues anew: from their spare, and what that does not know from the manifests,
which carry name and number, signed.

Law: a name's first manifest comes after its catalogue (publish.py), and a removed image's catalogue stays and
keeps the next number; so a manifest or a spare of a name without catalogue means that this was lost. Where
the spare is lost as well, tags are lost, removed versions whose manifest gc has not swept come back, and
numbers above the last manifest may be given again.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from images import catalogue
from images.disk import locked
from images.errors import BadInput, ImageError
from images.sealed import open_sealed, told_header
from images.shelf import Shelf
from images.versions import Version, check_name


def lost_names(store: Shelf, only: str | None = None) -> dict[str, list[Path]]:
    """Names (or that one alone) whose catalogue is lost, each with its manifests. Costs little: only
    manifests that no catalogue names are looked into, and of those the first line.
    """
    paths = sorted(store.manifests.iterdir())  # before the catalogues: what is published meanwhile has one
    spares = catalogue.names(store.names_dir, catalogue.SPARE)
    names = set(store.names())
    if only in names:
        return {}
    found: dict[str, list[Path]] = {
        name: [] for name in spares if name not in names and only in (None, name)
    }
    known = _listed(store)
    for path in paths:
        if path.name in known:
            continue
        with suppress(BadInput, FileNotFoundError):  # whose it is cannot be told; or gc took it
            name = check_name(told_header(path).name)
            if name not in names and only in (None, name):
                found.setdefault(name, []).append(path)
    return found


def lost(store: Shelf, name: str) -> str:
    """What to say of one, without what to do."""
    return f"{store.names_dir / name}{catalogue.SUFFIX} is lost: it says which versions of {name} there are"


def refuse_lost(store: Shelf, only: str | None = None) -> None:
    """Raises ImageError where catalogues are lost: numbers would be given twice, versions be deleted."""
    names = lost_names(store, only)
    if names:
        what = "; ".join(lost(store, name) for name in names)
        raise ImageError(f"{what}; `bootsrv image verify --repair` rebuilds it")


class Rebuilt(NamedTuple):
    """Names whose spare knew everything, names that only manifests told of, and manifests that cannot be read
    and may be versions of the latter.
    """

    whole: set[str]
    bare: set[str]
    unread: list[Path]


def rebuild_names(store: Shelf, names: Iterable[str]) -> Rebuilt:
    """Replace the catalogues of `names`. Manifests that cannot be read are left out where the spare does not
    name them. One of which nothing but such can be found is not made: gc would take them then.
    """
    books: dict[str, catalogue.Catalogue] = {}
    done = Rebuilt(set(), set(), [])
    with locked(store.lock):
        there = store.names()
        for name in names:
            spare = None
            with suppress(ImageError):  # damaged as well
                spare = catalogue.load_spare(store.names_dir, name)
            (done.bare if spare is None else done.whole).add(name)
            books[name] = spare or catalogue.Catalogue(name)
        known = {name: book.next for name, book in books.items()}  # below: there, or removed
        listed = _listed(store) | {one.id for book in books.values() for one in book.versions.values()}
        for path in store.manifests.iterdir():
            try:
                sealed = open_sealed(path, store.public_key(), path.name)
            except ImageError:
                if path.name not in listed:
                    done.unread.append(path)
                continue
            head = sealed.header
            book = books.get(head.name)
            if book is None or head.number < known[head.name]:
                continue
            book.versions[head.number] = Version(
                head.name, head.number, sealed.id, head.kind, head.created, head.comment, head.parent,
                head.files, head.bytes, 0, (), head.meta,
            )  # fmt: skip
            book.next = max(book.next, head.number + 1)
        for name, book in books.items():
            if book.versions or name in done.whole or (name in there and not done.unread):
                for _ in range(2):  # of a lost one the spare comes second
                    catalogue.save(store.names_dir, store.temp, book)
            else:
                done.bare.discard(name)
    return done


def _listed(store: Shelf) -> set[str]:
    """The manifests of all versions whose catalogue can be read."""
    found: set[str] = set()
    for name in store.names():
        with suppress(ImageError):
            found |= {version.id for version in catalogue.load(store.names_dir, name).listed()}
    return found
