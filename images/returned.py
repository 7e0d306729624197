"""Locators of versions that had lost chunks: made anew once an import has brought those back."""

from __future__ import annotations

from contextlib import suppress

from images import catalogue
from images.errors import ImageError
from images.index import Index
from images.shelf import Shelf


def restore_locators(store: Shelf, index: Index) -> None:
    """For every version without a locator, as `verify --repair` leaves those that lost chunks. Call under the
    store's lock.
    """
    for name in store.names():
        # A damaged list of another image is told by who reads that image, and by `verify`.
        with suppress(ImageError, OSError):
            for version in catalogue.load(store.names_dir, name).listed():
                if not (store.locators / version.id).exists():
                    # What it lacks still, or no room: readers and `verify` tell of it, and try again.
                    with suppress(ImageError, OSError):
                        store.rebuild_locator(version.id, index)
