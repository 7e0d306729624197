"""What was fetched, on disk: by content, so that the same bytes under two names are there once.

    objects/AB/SHA256     bytes, complete and compared        parts/     what is on its way in
    entries/KEY.json      for one name of one archive: which bytes, and what its server said of them

The law: a file is in `objects` only whole. An entry's date of change is when it was last used; the longest
unused go first when room is needed. One process writes; others may read (`Lookup`).
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec

log = logging.getLogger(__name__)
_TAG = "Signature: 8a477f597d28d172789f06886806bc55"  # bford.info/cachedir
_TOUCH_SECONDS = 600.0  # how exactly we remember when something was last used


class Cached(msgspec.Struct, frozen=True):
    """One name. `etag` and `modified` are its server's, as headers; times are epoch seconds."""

    mirror: str
    path: str
    sha256: str
    size: int
    etag: str = ""
    modified: str = ""
    stored: float = 0.0
    checked: float = 0.0  # when its server last said that it is so

    @property
    def key(self) -> str:
        return key_of(self.mirror, self.path)


def key_of(mirror: str, path: str) -> str:
    """The name of an entry's file."""
    return hashlib.sha256(f"{mirror}\0{path}".encode("utf-8", "surrogateescape")).hexdigest()


def object_path(root: Path, sha256: str) -> Path:
    """Where bytes lie."""
    return root / "objects" / sha256[:2] / sha256


class Lookup:
    """Reads what another process has stored."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def get(self, mirror: str, path: str) -> Cached | None:
        """The entry of a name whose bytes are there; None: nothing, or damaged."""
        file = self._root / "entries" / f"{key_of(mirror, path)}.json"
        try:
            found = msgspec.json.decode(file.read_bytes(), type=Cached)
            used = file.stat().st_mtime
            if object_path(self._root, found.sha256).stat().st_size != found.size:
                return None
        except (FileNotFoundError, msgspec.DecodeError):
            return None
        if time.time() - used > _TOUCH_SECONDS:
            with contextlib.suppress(OSError):
                os.utime(file)
        return found

    def file(self, found: Cached) -> Path:
        """Its bytes."""
        return object_path(self._root, found.sha256)


@dataclass(frozen=True, slots=True)
class Room:
    """How full it is, in bytes."""

    used: int
    limit: int
    entries: int


class Cache(Lookup):
    """The whole cache, for the one process that writes. `limit` in bytes; `reserve` stays free on the
    disk."""

    def __init__(
        self,
        root: Path,
        limit: int,
        reserve: int = 1 << 30,
        free: Callable[[Path], int] | None = None,
    ) -> None:
        super().__init__(root)
        self._limit, self._reserve = limit, reserve
        self._free = free or _free_bytes
        for part in ("objects", "entries", "parts"):
            (root / part).mkdir(parents=True, exist_ok=True)
        (root / "CACHEDIR.TAG").write_text(f"{_TAG}\n# no backup needs it\n")
        for left in (root / "parts").iterdir():
            left.unlink()  # of a process that was killed
        self._entries: dict[str, Cached] = {}
        self._users: Counter[str] = Counter()
        self._sizes: dict[str, int] = {}
        self._used = 0
        self._load()

    def _load(self) -> None:
        for file in (self._root / "entries").glob("*.json"):
            try:
                found = msgspec.json.decode(file.read_bytes(), type=Cached)
            except msgspec.DecodeError:
                found = None
            if found is None or not object_path(self._root, found.sha256).exists():
                file.unlink(missing_ok=True)
                continue
            self._note(found)
        for bytes_ in (self._root / "objects").glob("*/*"):
            if bytes_.name not in self._users:
                bytes_.unlink()

    @property
    def room(self) -> Room:
        return Room(self._used, self._limit, len(self._entries))

    def entries(self) -> list[Cached]:
        """Everything that is there."""
        return list(self._entries.values())

    def fits(self, size: int) -> bool:
        """Make room for `size` bytes; False when there is none to be had. Some more is made than needed: to
        find the longest unused takes a look at every entry."""
        if size > self._limit:
            return False
        if not self._holds(size):
            slack = self._limit // 20
            for cached in sorted(self._entries.values(), key=self._last_use):
                if self._holds(size, slack):
                    break
                self.drop(cached)
        return self._holds(size)

    def _holds(self, size: int, slack: int = 0) -> bool:
        free = self._free(self._root) - size - self._reserve
        return self._used + size + slack <= self._limit and free >= slack

    def part(self) -> Path:
        """A place for bytes on their way in."""
        return self._root / "parts" / f"{os.getpid()}-{time.monotonic_ns()}"

    def keep(self, part: Path, cached: Cached) -> None:
        """Complete bytes become part of the cache. Raises OSError; then they did not."""
        aim = object_path(self._root, cached.sha256)
        if aim.exists():
            part.unlink()
        else:
            aim.parent.mkdir(exist_ok=True)
            part.replace(aim)
        self._write(cached)

    def confirm(self, cached: Cached, now: float) -> Cached:
        """Its server said that it is still so."""
        fresh = msgspec.structs.replace(cached, checked=now)
        self._write(fresh)
        return fresh

    def drop(self, cached: Cached) -> None:
        """Forget one name; its bytes go with their last one."""
        (self._root / "entries" / f"{cached.key}.json").unlink(missing_ok=True)
        self._forget(cached.key)

    def _write(self, cached: Cached) -> None:
        file = self._root / "entries" / f"{cached.key}.json"
        new = file.with_suffix(".new")
        new.write_bytes(msgspec.json.encode(cached))
        new.replace(file)
        self._forget(cached.key, keep=cached.sha256)
        self._note(cached)

    def _note(self, cached: Cached) -> None:
        self._entries[cached.key] = cached
        self._users[cached.sha256] += 1
        if cached.sha256 not in self._sizes:
            self._sizes[cached.sha256] = cached.size
            self._used += cached.size

    def _forget(self, key: str, keep: str = "") -> None:
        old = self._entries.pop(key, None)
        if old is None:
            return
        self._users[old.sha256] -= 1
        if self._users[old.sha256] > 0:
            return
        del self._users[old.sha256]
        if old.sha256 != keep:
            object_path(self._root, old.sha256).unlink(missing_ok=True)
            self._used -= self._sizes.pop(old.sha256, 0)

    def _last_use(self, cached: Cached) -> float:
        try:
            return (self._root / "entries" / f"{cached.key}.json").stat().st_mtime
        except FileNotFoundError:
            return 0.0


def _free_bytes(root: Path) -> int:
    info = os.statvfs(root)
    return info.f_bavail * info.f_frsize
