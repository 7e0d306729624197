"""Which programs run code that changed although they did not: by the libraries that they load. Pure.

DT_NEEDED is followed from the program on; a script loads what its interpreter loads. Where several files have
a library's name, each counts: to restart a service too many is cheaper than one too few.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterable

from images.imager.elf import needed
from images.manifest import Entry

_MARK = b".so"
_FOLDERS = (b"usr/lib", b"lib", b"usr/libexec", b"usr/local/lib")
_LINKS = 8


class Libraries:
    """Collects a tree's libraries and links entry by entry; then `loads` follows them.

    `read` gives the bytes of a file.
    """

    def __init__(self, read: Callable[[Entry], bytes]) -> None:
        self._read = read
        self._files: dict[bytes, Entry] = {}  # those that can be run or loaded
        self._links: dict[bytes, bytes] = {}
        self._named: dict[bytes, list[bytes]] = {}
        self._needs: dict[bytes, frozenset[bytes]] = {}

    def note(self, entry: Entry) -> None:
        """One entry of the tree."""
        name = entry.path.rpartition(b"/")[2]
        library = _MARK in name and entry.path.startswith(_FOLDERS)
        if entry.type == "symlink":
            self._links[entry.path] = entry.target
        elif entry.type == "file" and (library or entry.mode & 0o111):
            self._files[entry.path] = entry
        if library:
            self._named.setdefault(name, []).append(entry.path)

    def loads(self, program: bytes) -> set[bytes]:
        """Every path whose content the program runs: itself, interpreter, libraries, and links on the way."""
        seen: set[bytes] = set()
        todo = [program]
        while todo:
            path = todo.pop()
            if path in seen:
                continue
            seen.add(path)
            real = self._real(path)
            if real is not None and real != path:
                todo.append(real)
            elif real is not None:
                todo += self._wants(real)
        return seen

    def _wants(self, path: bytes) -> Iterable[bytes]:
        if path not in self._needs:
            data = self._read(self._files[path])
            self._needs[path] = frozenset(self._asked(data))
        return self._needs[path]

    def _asked(self, data: bytes) -> Iterable[bytes]:
        if data.startswith(b"#!"):
            words = data[2:256].split(b"\n")[0].split()
            yield from (word.lstrip(b"/") for word in words[:1])
            return
        try:
            names = needed(data)
        except ValueError:  # of another machine, or damaged: it has no needs that we can tell
            return
        for name in names:
            yield from self._named.get(name.encode(), ())

    def _real(self, path: bytes) -> bytes | None:
        """The file at a path, links followed on every step of the way; None when there is none."""
        for _ in range(_LINKS):
            if path in self._files:
                return path
            parts = path.split(b"/")
            for end in range(1, len(parts) + 1):
                link = self._links.get(b"/".join(parts[:end]))
                if link is not None:
                    folder = b"/" + b"/".join(parts[: end - 1])
                    path = posixpath.normpath(posixpath.join(folder, link, *parts[end:])).lstrip(b"/")
                    break
            else:
                return None
        return None
