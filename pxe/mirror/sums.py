"""What an archive's own indexes say of its packages: learned from each index that is cached.

Read in a thread, since the index of a whole release takes a second; a package that is asked for meanwhile
waits for it.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterable
from pathlib import Path

from pxe.mirror.cache import Cached
from pxe.mirror.packages import Known, read, root_of

_MOST = 24  # indexes in memory
_LARGEST = 64 << 20  # bytes of one, as it is cached
Table = dict[str, Known]


class Sums:
    """Sums by archive and name. `file` gives the bytes of what is cached."""

    def __init__(self, cached: Iterable[Cached], file: Callable[[Cached], Path]) -> None:
        self._file = file
        self._tables: OrderedDict[tuple[str, str], asyncio.Task[Table] | Cached] = OrderedDict()
        for one in sorted(cached, key=lambda one: one.stored):
            self.learn(one)

    def learn(self, cached: Cached) -> None:
        """An index is there. Read when it is first needed."""
        if root_of(cached.path) is None or cached.size > _LARGEST:
            return
        self._tables.pop((cached.mirror, cached.path), None)
        self._tables[cached.mirror, cached.path] = cached
        while len(self._tables) > _MOST:
            self._tables.popitem(last=False)

    async def find(self, mirror: str, path: str) -> Known | None:
        """What `path` must be, by the newest index that names it."""
        for name, key in reversed(list(self._tables)):
            if name != mirror or (entry := self._tables.get((name, key))) is None:
                continue
            if isinstance(entry, Cached):
                entry = self._tables[name, key] = asyncio.create_task(asyncio.to_thread(self._read, entry))
            found = (await asyncio.shield(entry)).get(path)
            if found is not None:
                return found
        return None

    def _read(self, cached: Cached) -> Table:
        root = root_of(cached.path) or ""
        try:
            return {f"{root}{name}": known for name, known in read(self._file(cached).read_bytes())}
        except FileNotFoundError:
            return {}  # it had to make room
