"""Name -> served thing, for TFTP and HTTP alike.

Sources, in this order: fixed entries (loaders of the payload directory), generated ones (asked through a
Protocol, for example a per-node file), and the public directory. The law: a name from the network is only
ever a key of a dict. No path is joined from it, so there is no path to escape through; the dict is filled by
walking the directory.

The walk is renewed by comparing directory times, at most so often that it costs 2 % of the time; a file's own
size and date are read at each look-up, so a replaced file is never served with an old length.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

_RACY_NS = 50_000_000  # a directory changed this recently may change again within the same clock tick


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that can be served: bytes in memory, or a regular file. `etag` has no quotes."""

    size: int
    mtime: float  # epoch seconds; 0.0 for bytes
    etag: str
    path: Path | None = None
    data: bytes | None = None
    root: Path | None = None  # the opened file must lie in here

    def open(self) -> int:
        """A file descriptor for reading; the caller closes it. Only for entries with a path.

        Raises FileNotFoundError when it is gone, is no regular file any more or was led out of its tree by a
        link.
        """
        if self.path is None:
            raise FileNotFoundError("this entry is not a file")
        try:
            fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW)
        except OSError as error:
            if error.errno != errno.ELOOP:
                raise
            raise FileNotFoundError(f"{self.path}: a link by now") from error
        try:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise FileNotFoundError(f"{self.path}: not a regular file")
            # os.readlink: a Path would cost more than the rest of this together.
            if self.root is not None and not _inside(
                os.readlink(f"/proc/self/fd/{fd}"),  # noqa: PTH115
                str(self.root),
            ):
                raise FileNotFoundError(f"{self.path}: leaves {self.root}")
        except BaseException:
            os.close(fd)
            raise
        return fd


def entry_of(source: bytes | Path, root: Path | None = None) -> Entry | None:
    """The entry for bytes or for a file as it is now; None when there is no such regular file."""
    if isinstance(source, bytes):
        return Entry(len(source), 0.0, hashlib.blake2b(source, digest_size=12).hexdigest(), data=source)
    return Versions().entry(source, root)


class Versions:
    """Entries of files as they are now; while a file stays the same, its entry is the same object."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[int, int, int, Entry]] = {}

    def entry(self, path: Path, root: Path | None = None) -> Entry | None:
        """None: there is no such regular file now."""
        name = str(path)
        try:
            info = os.stat(name)  # noqa: PTH116  a Path's own costs half as much again
        except (FileNotFoundError, NotADirectoryError):
            self._known.pop(name, None)
            return None
        if not stat.S_ISREG(info.st_mode):
            return None
        modified, size, number = info.st_mtime_ns, info.st_size, info.st_ino
        known = self._known.get(name)
        if known is not None and known[0] == modified and known[1] == size and known[2] == number:
            return known[3]
        made = Entry(size, info.st_mtime, f"{modified:x}-{size:x}-{number:x}", path=path, root=root)
        self._known[name] = modified, size, number, made
        return made


_PADDING = "\xff\ufffd \r\n\0"


def normalise(name: str) -> str:
    """A name as firmware sends it, as a key: `\\boot\\X`, `//boot/./X` and `boot/X` + 0xff all mean `boot/X`.

    Some PXE ROMs add 0xff or blanks to the name; Windows-minded loaders use backslashes. Names with `..` stay
    as they are and so are never found.
    """
    parts = [part for part in name.replace("\\", "/").split("/") if part not in ("", ".")]
    while parts:  # a last part of nothing but padding bares the one before it
        last = parts.pop().rstrip(_PADDING)
        if last not in ("", "."):
            return "/".join([*parts, last])
    return ""


class Generated(Protocol):
    """A source of entries that are made when asked for."""

    def find(self, name: str, peer: str) -> bytes | Path | None:
        """What `name` (normalised) is for the machine at IP address `peer`; None: not mine."""


class Catalogue:
    """All that is served. Look-ups are for one thread; they cost microseconds and never block on the
    network."""

    def __init__(
        self,
        fixed: Mapping[str, bytes | Path] | None = None,
        public: Path | None = None,
        generated: Sequence[Generated] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._fixed = {normalise(name): source for name, source in (fixed or {}).items()}
        self._fixed_lower = {name.lower(): name for name in sorted(self._fixed, reverse=True)}
        self._generated = tuple(generated)
        self._versions = Versions()
        self._tree = Tree(public, clock) if public is not None else None

    def find(self, name: str, peer: str = "") -> Entry | None:
        """What a TFTP client means by `name`; letters of the wrong case are forgiven when nothing fits
        exactly."""
        key = normalise(name)
        if (entry := self.fixed(key)) is not None:
            return entry
        return self.made(key, peer) or self.public(key)

    def fixed(self, name: str) -> Entry | None:
        """A fixed entry by its (normalised) name."""
        found = self._fixed.get(name) or self._fixed.get(self._fixed_lower.get(name.lower(), ""))
        if isinstance(found, Path):
            return self._versions.entry(found)
        return None if found is None else entry_of(found)

    def made(self, name: str, peer: str) -> Entry | None:
        """What is made for the machine at `peer` when it asks for this (normalised) name."""
        for source in self._generated:
            if (made := source.find(name, peer)) is not None:
                return entry_of(made)
        return None

    def public(self, name: str) -> Entry | None:
        """A file of the public directory."""
        return None if self._tree is None else self._tree.find(normalise(name))


class Tree:
    """The files below one directory, by their relative names. Links are followed as long as they stay
    inside."""

    def __init__(self, root: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._root = root.resolve()
        self._clock = clock
        self._versions = Versions()
        self._next = 0.0
        self._files: dict[str, dict[str, Path]] = {}  # directory -> name -> real path
        self._index: dict[str, Path] = {}
        self._lower: dict[str, str] = {}
        self._times: dict[
            str, int | None
        ] = {}  # directory -> its mtime when it was read; None: read it again
        self._dirs: dict[str, list[str]] = {}

    def find(self, key: str) -> Entry | None:
        """The entry for a normalised name, or None. A miss looks for changes first, if it is time to."""
        if (entry := self._lookup(key)) is None and self.refresh():
            entry = self._lookup(key)
        return entry

    def _lookup(self, key: str) -> Entry | None:
        path = self._index.get(key)
        if path is None and (real := self._lower.get(key.lower())) is not None:
            path = self._index.get(real)
        return None if path is None else self._versions.entry(path, self._root)

    def refresh(self) -> bool:
        """Look for changed directories; False when it was too early for that or nothing changed."""
        started = self._clock()
        if started < self._next:
            return False
        changed = self._scan("", set())
        if changed:
            self._index = {n: p for files in self._files.values() for n, p in files.items()}
            self._lower = {n.lower(): n for n in sorted(self._index, reverse=True)}
        ended = self._clock()
        self._next = ended + 50 * (ended - started)
        return changed

    def _scan(self, relative: str, seen: set[str]) -> bool:
        path = self._root / relative if relative else self._root
        real = os.path.realpath(path)
        try:
            mtime = Path(real).stat().st_mtime_ns
        except OSError:
            return self._forget(relative)
        if real in seen or not _inside(real, str(self._root)):
            return self._forget(relative)
        seen = seen | {real}
        changed = self._times.get(relative) != mtime
        if changed:
            fresh = abs(time.time_ns() - mtime) < _RACY_NS
            self._read(relative, path)
            self._times[relative] = None if fresh else mtime
        for child in self._dirs.get(relative, ()):
            changed |= self._scan(child, seen)
        return changed

    def _read(self, relative: str, path: Path) -> None:
        files: dict[str, Path] = {}
        dirs: list[str] = []
        with os.scandir(path) as found:
            for item in found:
                name = f"{relative}/{item.name}" if relative else item.name
                if item.is_dir():
                    dirs.append(name)
                elif _inside(real := os.path.realpath(item.path), str(self._root)):
                    files[name] = Path(real)
        for gone in set(self._dirs.get(relative, ())) - set(dirs):
            self._forget(gone)
        self._files[relative], self._dirs[relative] = files, dirs

    def _forget(self, relative: str) -> bool:
        known = self._times.pop(relative, 0) != 0
        self._files.pop(relative, None)
        for child in self._dirs.pop(relative, ()):
            self._forget(child)
        return known


def _inside(path: str, root: str) -> bool:
    return path == root or path.startswith(root.rstrip("/") + "/")
