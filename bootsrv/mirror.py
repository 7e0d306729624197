"""`python -m bootsrv.mirror --config FILE`: fetches packages for installers, once for all of them.

A process of its own, because it alone talks to servers that are not ours: the slowest of them delays no boot.
It listens on a Unix socket that the files process forwards `/mirror/` to, once it has looked who asks.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from aiohttp import web

from bootsrv import child
from bootsrv.config import Config
from bootsrv.registry.registry import Registry
from pxe.mirror.cache import Cache
from pxe.mirror.flight import Archive
from pxe.mirror.server import MirrorServer

log = logging.getLogger(__name__)
SOCKET = "mirror.sock"
AGAIN_SECONDS = 600.0  # so long the same trouble is not told again


class Events:
    """Implements `pxe.mirror.server.Journal`: what goes wrong, on the events page."""

    def __init__(self, registry: Registry, worker: ThreadPoolExecutor) -> None:
        self._registry, self._worker = registry, worker
        self._told: dict[str, float] = {}

    def trouble(self, mirror: str, text: str) -> None:
        log.warning("archive %s: %s", mirror, text)
        now = time.time()
        if now - self._told.get(mirror, 0.0) < AGAIN_SECONDS:
            return
        self._told[mirror] = now
        self._worker.submit(self._write, now, f"archive {mirror}: {text}")

    def _write(self, now: float, text: str) -> None:
        try:
            self._registry.events.add(now, "alarm.mirror", text, None, None)
        except OSError:
            log.exception("an event could not be written")


def archives(config: Config) -> dict[str, Archive]:
    """The archives of the configuration."""
    return {name: Archive(name, one.upstreams, one.proxy) for name, one in config.mirrors.items()}


async def serve(config: Config, stop: asyncio.Event) -> int:
    """Open the socket, answer until stopped."""
    registry = Registry.open(config.registry_file)
    worker = ThreadPoolExecutor(1, thread_name_prefix="events")
    cache = Cache(config.cache_dir, config.cache.bytes)
    server = MirrorServer(archives(config), cache, Events(registry, worker))
    runner = web.ServerRunner(
        web.Server(server.handle, access_log=None, auto_decompress=False), shutdown_timeout=2.0
    )
    path = config.run_dir / SOCKET
    try:
        await server.start()
        await runner.setup()
        path.unlink(missing_ok=True)
        await web.UnixSite(runner, path, backlog=1024).start()
        child.ready()
        await stop.wait()
    finally:
        await runner.cleanup()
        await server.close()
        worker.shutdown()
        path.unlink(missing_ok=True)
    return 0


def main() -> int:
    """Serves until SIGTERM."""
    return child.run("mirror", serve)


if __name__ == "__main__":
    sys.exit(main())
