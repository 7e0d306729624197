"""Make damaged catalogues anew from the manifests, which carry name and number under their signature.

Tags live in the catalogue alone and are lost with it; removed versions whose manifest gc has not swept come
back.
"""

from __future__ import annotations

from collections.abc import Iterable

from images import catalogue
from images.disk import locked
from images.errors import ImageError
from images.sealed import open_sealed
from images.shelf import Shelf
from images.versions import Version


def rebuild_names(store: Shelf, names: Iterable[str]) -> None:
    """Replace the catalogues of `names`. Manifests that cannot be read are left out."""
    books = {name: catalogue.Catalogue(name) for name in names}
    with locked(store.lock):
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
            catalogue.save(store.names_dir, store.temp, book)
