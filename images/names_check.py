"""Catalogues and their spares: found damaged or lost, and with `repair` made anew, for verify.py."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

from images import catalogue
from images.disk import locked
from images.errors import ImageError, ImageNotFound
from images.problem import REPAIR, Problem
from images.rebuild import lost_names, rebuild_names
from images.sealed import open_sealed
from images.shelf import Shelf


def check_names(store: Shelf, repair: bool) -> Iterator[Problem]:
    """The catalogues and their spares."""
    folder, found = store.names_dir, dict[str, Problem]()
    for name in store.names():
        book = str(folder / f"{name}{catalogue.SUFFIX}")
        try:
            catalogue.load(folder, name)
        except ImageNotFound:
            continue  # lost meanwhile
        except ImageError as err:
            found[name] = Problem(book, f"is damaged ({err.__cause__})", REPAIR)
    for name, paths in lost_names(store).items():
        book = str(folder / f"{name}{catalogue.SUFFIX}")
        text = ", ".join(path.name[:12] for path in paths)
        text = f"is lost; manifests of {name}: {text or 'none'}"
        known = (folder / f"{name}{catalogue.SPARE}").exists() or any(_opens(store, path) for path in paths)
        beside = "restore it from a backup, or remove these manifests"
        found[name] = Problem(book, text, REPAIR if known else beside)
    yield from _rebuilt(store, found) if found and repair else found.values()
    yield from _spares(store, repair)


def _rebuilt(store: Shelf, found: dict[str, Problem]) -> Iterator[Problem]:
    done = rebuild_names(store, found)
    tags = "made anew from the manifests; what tags it had are lost: set them again"
    for name, problem in found.items():
        if name in done.whole:
            yield problem._replace(repair="mended from its spare", mended=True)
        elif name in done.bare:
            yield problem._replace(repair=tags)
        else:
            beside = "restore it and the manifests that cannot be read from a backup"
            yield problem._replace(repair=beside)
    for path in done.unread if done.bare else ():
        text = f"cannot be read, and may be a version of {' or '.join(sorted(done.bare))}"
        yield Problem(str(path), text, "lost, unless a backup has it: restore both from there")


def _spares(store: Shelf, repair: bool) -> Iterator[Problem]:
    """One that is missing, as in stores from before there were any, is no damage; `repair` makes it."""
    folder = store.names_dir
    for name in store.names():
        text, spare = "", str(folder / f"{name}{catalogue.SPARE}")
        try:
            if catalogue.load_spare(folder, name) is not None:
                continue
        except ImageError as err:
            text = f"is damaged ({err.__cause__})"
        with locked(store.lock) if repair else nullcontext():
            try:
                book = catalogue.load(folder, name)
            except ImageError:
                continue  # told
            if repair:
                catalogue.save(folder, store.temp, book)
        if not text:
            continue
        yield Problem(spare, text, "mended from what it is the spare of" if repair else REPAIR, repair)


def _opens(store: Shelf, path: Path) -> bool:
    try:
        open_sealed(path, store.public_key(), path.name)
    except ImageError:
        return False
    return True
