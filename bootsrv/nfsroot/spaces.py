"""What machines write over NFS: for each a file system of its own, as large as its limit.

The law: a machine's files are removed only when its node is, and then an hour later.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Iterable
from pathlib import Path

from bootsrv.diskless.gate import LIMIT
from bootsrv.nfsroot.grants import Grant
from bootsrv.nfsroot.status import WriteSpace
from bootsrv.registry.registry import Registry
from images.errors import ImageError
from images.nfs import mounted
from images.nfs.export import Export
from images.nfs.numbers import Numbers
from images.nfs.server import Server
from images.sizes import human

log = logging.getLogger(__name__)
ALARM, FULL, AGAIN = "alarm.writes", 0.95, 0.85
KEEP_SECONDS = 3600.0
SUFFIX = ".img"


class Spaces:
    """Not shared between threads."""

    def __init__(self, folder: Path, mounts: Path, registry: Registry) -> None:
        self._folder, self._mounts, self._registry = folder, mounts, registry
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for left in folder.glob("*.tmp"):
            left.unlink()
        self._exports: dict[int, Export] = {}
        self._full: set[int] = set()
        self._failed: dict[int, str] = {}
        self._idle: dict[int, float] = {}

    def exports(self, grants: Iterable[Grant], numbers: Numbers) -> list[Export]:
        """Those of the granted machines that write, mounted. One that cannot be made is an alarm."""
        self._exports = {}
        for grant in grants:
            if not grant.writes:
                continue
            target = self._mounts / str(grant.node)
            try:
                mounted.mount_writes(
                    self._folder / f"{grant.node}{SUFFIX}", target, grant.limit or LIMIT
                )
            except (ImageError, OSError) as error:
                self._alarm(grant, str(error))
                continue
            self._failed.pop(grant.node, None)
            before = self._exports.get(grant.node)
            clients = (*(before.clients if before else ()), grant.address)
            number = numbers.of(f"writes {grant.node}")
            self._exports[grant.node] = Export(
                number, target, f"/writes/{grant.node}", clients, writable=True
            )
        return list(self._exports.values())

    def sizes(self, server: Server) -> tuple[WriteSpace, ...]:
        """How full each is; one that fills up is an alarm, once."""
        found = []
        for node, export in sorted(self._exports.items()):
            usage = mounted.usage(export.directory)
            found.append(WriteSpace(node, server.path_of(export), usage.used, usage.limit))
            if usage.used >= usage.limit * FULL and node not in self._full:
                self._full.add(node)
                text = (
                    f"{human(usage.used)} of {human(usage.limit)} that this machine may write are full: it"
                    " goes on without room for more; raise its write limit and boot it, or remove files"
                )
                self._registry.events.add(time.time(), ALARM, text, None, node)
            elif usage.used < usage.limit * AGAIN:
                self._full.discard(node)
        return tuple(found)

    def tidy(self, exported: Collection[Path], nodes: Callable[[], Collection[int]]) -> None:
        """Unmount what is not exported; remove what belongs to no node. `nodes`: all there are."""
        now, images = time.monotonic(), sorted(self._folder.glob(f"*{SUFFIX}"))
        known = nodes() if images else ()
        for image in images:
            number, target = int(image.stem), self._mounts / image.stem
            if target not in exported:
                mounted.unmount(target)
            if number in known:
                self._idle.pop(number, None)
            elif now - self._idle.setdefault(number, now) > KEEP_SECONDS:
                image.unlink()
                log.info("node %d is gone: what it wrote over NFS is removed", number)

    def _alarm(self, grant: Grant, text: str) -> None:
        if self._failed.get(grant.node) != text:
            log.error("%s has nothing to write on: %s", grant.name, text)
            self._registry.events.add(
                time.time(), ALARM, f"nothing to write on over NFS: {text}", None, grant.node
            )
        self._failed[grant.node] = text
