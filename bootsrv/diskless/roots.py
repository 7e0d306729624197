"""`python -m bootsrv.diskless.roots --config FILE`: makes ready what diskless machines load, before they ask.

Looks whenever anybody has changed the registry: each version that a node boots diskless, now or next, gets
its kernel, first RAM disk and, for roots in memory, its squashfs; what no node needs any more goes an hour
later. One at a time: it is work for minutes, and machines wait for packets. The law: a failure is said on
the node's page with its reason, and tried again when something changed or after a while, never in a loop.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import shutil
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from bootsrv import child
from bootsrv.appliance.images import Images
from bootsrv.config import Config
from bootsrv.diskless import netroots
from bootsrv.diskless.shares import in_use
from bootsrv.errors import BootsrvError
from bootsrv.model import RootKind
from bootsrv.registry.registry import Registry
from images.errors import ImageError
from images.netroot import prepare
from images.progress import Progress
from images.versions import Version

log = logging.getLogger(__name__)
LOOK_SECONDS = 0.5
AGAIN_SECONDS = 300.0  # after a failure
KEEP_SECONDS = 3600.0  # what is not needed any more: a node may be moved back
NICE = 10
CACHE_TAG = "Signature: 8a477f597d28d172789f06886806bc55\n"  # bford.info/cachedir: no backup needs it
SIGHTS = 0.5  # seconds between two notes of progress


class Roots:
    """The work, in a thread of its own."""

    def __init__(self, config: Config, registry: Registry, images: Images) -> None:
        self._config, self._registry, self._images = config, registry, images
        self._netroots = netroots.Netroots(config, registry, lambda: images.store().public_key())
        self._failed: dict[str, float] = {}
        self._idle: dict[str, float] = {}

    def forever(self, stop: threading.Event) -> None:
        """Ends between two pieces of work."""
        seen: tuple[int, int] | None = None
        looked = 0.0
        while not stop.wait(LOOK_SECONDS):
            changes = self._registry.changes()
            if changes == seen and time.monotonic() - looked < 60.0:
                continue
            seen, looked = changes, time.monotonic()
            try:
                self.once(stop)
            except (BootsrvError, OSError):
                log.exception("roots could not be looked after")

    def once(self, stop: threading.Event) -> None:
        """Make what is missing, and let go of what nobody needs."""
        nodes = self._registry.nodes.perhaps_diskless()
        used = in_use(nodes, self._images)
        for (ref, kind), whose in sorted(used.items(), key=lambda item: item[0][1] is RootKind.RAM):
            if stop.is_set():
                return
            try:
                self._make(self._images.resolve(ref), kind)
            except (BootsrvError, ImageError, OSError) as error:
                log.error("%s for %s: %s", ref, ", ".join(str(node.name) for node in whose[:5]), error)
        self._tidy({self._images.resolve(ref).id for ref, _ in used})

    def _make(self, version: Version, kind: RootKind) -> None:
        place, key = self._netroots.home(version), f"{version.id} {kind}"
        if time.monotonic() - self._failed.get(key, float("-inf")) < AGAIN_SECONDS:
            return
        wanted = self._netroots.inputs()
        if prepare.ready(place, wanted) and (kind is not RootKind.RAM or prepare.has_root(place)):
            return
        store, started = self._images.store(), time.monotonic()
        try:
            self._note(place, {"step": "kernel", "percent": 0})
            prepare.make_boot(
                store, version.ref, self._config.payload_dir / "imager", self._netroots.keys(), place
            )
            if kind is RootKind.RAM:
                prepare.make_root(
                    store, version.ref, self._netroots.keys(), place, self._progress(place, "squashfs")
                )
        except (BootsrvError, ImageError, OSError) as error:
            self._failed[key] = time.monotonic()
            self._note(place, {"error": str(error) or type(error).__name__})
            raise
        self._failed.pop(key, None)
        (place / netroots.STATE).unlink(missing_ok=True)
        log.info("%s is ready for roots by %s, after %.1f s", version.ref, kind, time.monotonic() - started)

    def _note(self, place: Path, state: dict[str, object]) -> None:
        place.mkdir(parents=True, exist_ok=True)
        new = place / f".{netroots.STATE}"
        new.write_bytes(json.dumps(state).encode())
        new.replace(place / netroots.STATE)

    def _progress(self, place: Path, step: str) -> Progress:
        last = [0.0]

        def note(done: int, total: int | None, text: str) -> None:
            now = time.monotonic()
            if now - last[0] >= SIGHTS:
                last[0] = now
                self._note(place, {"step": step, "percent": min(99, done * 100 // max(total or 1, 1))})

        return note

    def _tidy(self, used: set[str]) -> None:
        now = time.monotonic()
        for place in _places(self._config):
            if place.name in used:
                self._idle.pop(place.name, None)
            elif now - self._idle.setdefault(place.name, now) > KEEP_SECONDS:
                shutil.rmtree(place)
                log.info("no node needs %s any more: removed", place)


def _places(config: Config) -> Iterator[Path]:
    folder = config.data_dir / netroots.FOLDER
    return (path for path in sorted(folder.iterdir()) if path.is_dir()) if folder.is_dir() else iter(())


async def serve(config: Config, stop: asyncio.Event) -> int:
    """Until stopped. What is under way then is made again at the next start."""
    registry = Registry.open(config.registry_file)
    folder = config.data_dir / netroots.FOLDER
    folder.mkdir(exist_ok=True)
    (folder / "CACHEDIR.TAG").write_text(CACHE_TAG)
    work, ended = Roots(config, registry, Images(config, registry)), threading.Event()
    os.nice(NICE)
    threading.Thread(target=work.forever, args=(ended,), name="roots", daemon=True).start()
    child.ready()
    await stop.wait()
    ended.set()
    return 0


def main() -> int:
    """Works until SIGTERM."""
    return child.run("roots", serve)


if __name__ == "__main__":
    sys.exit(main())
