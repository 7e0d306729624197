"""Routes that lead to files: which file, and how it is sent. The same for both ways of answering (`front`,
`handlers`).

The law: what the house holds in memory is looked up at once; what it may have to ask its database or the disk
for is asked by its one worker thread.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pxe.catalogue import Entry, entry_of
from pxe.http.ports import Denied, Site, Wait
from pxe.http.reply import Extra
from pxe.http.resolver import BootFile, Mirrored, Public, Route, Stored, TreeFile, type_of

AskedRoute = TreeFile | Mirrored | Stored
FileRoute = BootFile | Public | AskedRoute

# What lies in public/ shares its origin with the admin's page: it may be looked at, but never act as the
# admin.
_PUBLIC: Extra = (("Content-Security-Policy", "sandbox"), ("X-Content-Type-Options", "nosniff"))
_FOREVER: Extra = (("Cache-Control", "private, max-age=31536000, immutable"),)


@dataclass(frozen=True, slots=True)
class Dress:
    """How the file of a route is sent: its media type and headers, and what the flight recorder calls the
    step of a boot that it is ("": none)."""

    type: str
    extra: Extra
    step: str


def dress(route: FileRoute, boots: bool) -> Dress:
    """`boots`: firmware or a boot loader asks."""
    match route:
        case BootFile(name):
            return Dress(type_of(name), (), name)
        case Public(name):
            return Dress(type_of(name), _PUBLIC, name if boots else "")
        case TreeFile(tree, name):
            return Dress(type_of(name), _PUBLIC, f"tree/{tree}/{name}" if boots else "")
        case Mirrored(_, path):
            return Dress(type_of(path), _PUBLIC, "")
        case Stored():
            return Dress("application/octet-stream", _FOREVER, "")


def held(site: Site, route: Route) -> Entry | None:
    """The file of a route that is in memory's reach. Called on the event loop."""
    match route:
        case BootFile(name):
            return site.boot_file(name)
        case Public(name):
            return site.public(name)
    return None


def asked(site: Site, route: AskedRoute, peer: str, token: str | None) -> Entry | Denied | Wait | None:
    """The file of a route that the house is asked for. Called in its worker thread."""
    match route:
        case TreeFile(tree, name):
            return site.tree(tree, name)
        case Mirrored(name, path):
            return site.mirror(name, path, peer)
        case Stored(kind, ident):
            found = site.store(kind, ident, token)
            return found if isinstance(found, (Denied, Wait)) else _immutable(found, ident)


def _immutable(found: Path | bytes | None, ident: str) -> Entry | None:
    """An entry whose version is its id: what the store holds under one id never changes."""
    entry = None if found is None else entry_of(found)
    return None if entry is None else Entry(entry.size, 0.0, ident, entry.path, entry.data)
