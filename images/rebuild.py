"""Make damaged and lost catalogues anew from the manifests, which carry name and number, signed.

Law: a name's first manifest comes after its catalogue (publish.py), and a removed image's catalogue stays and
keeps the next number; so a manifest of a name without catalogue means that this was lost. Tags live in the
catalogue alone and are lost with it; removed versions whose manifest gc has not swept come back.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

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
    found: dict[str, list[Path]] = {}
    paths = sorted(store.manifests.iterdir())  # before the catalogues: what is published meanwhile has one
    names, known = set(store.names()), set[str]()
    if only in names:
        return {}
    for name in names:
        with suppress(ImageError):  # a damaged one is no lost one
            known |= {version.id for version in catalogue.load(store.names_dir, name).listed()}
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


def rebuild_names(store: Shelf, names: Iterable[str]) -> None:
    """Replace the catalogues of `names`. Manifests that cannot be read are left out. One that is lost and of
    which none can be read is not made: gc would take them then.
    """
    books = {name: catalogue.Catalogue(name) for name in names}
    with locked(store.lock):
        there = store.names()
        for path in store.manifests.iterdir():
            try:
                sealed = open_sealed(path, store.public_key(), path.name)
            except ImageError:
                continue
            head = sealed.header
            book = books.get(head.name)
            if book is None:
                continue
            book.versions[head.number] = Version(
                head.name, head.number, sealed.id, head.kind, head.created, head.comment, head.parent,
                head.files, head.bytes, 0, (), head.meta,
            )  # fmt: skip
            book.next = max(book.next, head.number + 1)
        for book in books.values():
            if book.versions or book.name in there:
                catalogue.save(store.names_dir, store.temp, book)
