"""`python -m bootsrv.files --config FILE`: HTTP for machines and people.

Scripts, kernels, images and the node API are answered here; captures go to the intake process and everything
else to the web process, over their sockets. Also tidies the flight recorder once an hour.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from functools import partial

from bootsrv import child, payload, tls
from bootsrv.appliance.images import Images
from bootsrv.config import Config
from bootsrv.diskless.handout import Handout
from bootsrv.diskless.shares import Shares
from bootsrv.handover import Handover
from bootsrv.installs import overdue
from bootsrv.listening import listen_on, listen_securely, our_interfaces
from bootsrv.mirror import SOCKET as MIRROR
from bootsrv.peers import Peers
from bootsrv.recorder import Recorder
from bootsrv.registry.registry import Registry
from bootsrv.site import HouseSite
from bootsrv.storedesk import SOCKET as INTAKE
from pxe.http.server import HttpServer
from pxe.hub import HotSelector, Watch

log = logging.getLogger(__name__)
LOOK_SECONDS = 5.0
TIDY_SECONDS = 3600.0
KEEP_SECONDS = 90 * 86400.0


async def serve(config: Config, stop: asyncio.Event, watch: Watch | None = None) -> int:
    """Open the sockets, answer until stopped or until our addresses changed."""
    registry = Registry.open(config.registry_file)
    recorder = Recorder(registry, Peers(registry))
    peers = Peers(registry)
    images = Images(config, registry)
    handover = Handover(config, registry, peers, lambda: our_interfaces(config))
    handout = Handout(config, Shares(registry, peers), images)
    catalogue = payload.catalogue(config, [handover, handout])
    site = HouseSite(config, registry, images, catalogue, peers)
    web, intake, mirror = (config.run_dir / name for name in ("web.sock", INTAKE, MIRROR))
    server = HttpServer(site, recorder, web, None, intake, mirror, watch)
    recorder.start()
    places = listen_on(config)
    try:
        secure = listen_securely(config) if config.http.enabled else []
        await server.start(
            places if config.http.enabled else [], config.run_dir / "http.sock", secure,
            tls.context(config) if secure else None,
        )  # fmt: skip
        child.ready()
        tidying = asyncio.create_task(_tidy(registry))
        looking = asyncio.create_task(_look_after(registry, config.install.patience))
        moved = await _watch(config, places, stop)
        tidying.cancel()
        looking.cancel()
    finally:
        await server.close()
        recorder.close()
    return child.MOVED if moved else 0


async def _watch(config: Config, places: list[tuple[str, int]], stop: asyncio.Event) -> bool:
    """True when an interface got or lost an address: then new sockets are due."""
    while not stop.is_set():
        try:
            await asyncio.wait_for(stop.wait(), LOOK_SECONDS)
        except TimeoutError:
            if set(listen_on(config)) != set(places):
                log.info("our addresses changed: opening new sockets")
                return True
    return False


async def _look_after(registry: Registry, patience: float) -> None:
    """Installations that nobody hears of any more."""
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        try:
            for node in await asyncio.to_thread(overdue.give_up, registry, patience, time.time()):
                log.warning("%s: %s", node.name, node.error)
        except OSError:
            log.exception("installations could not be looked after")


async def _tidy(registry: Registry) -> None:
    """Forget what happened long ago."""
    while True:
        try:
            await asyncio.to_thread(registry.events.prune, time.time() - KEEP_SECONDS)
        except OSError:
            log.exception("old events could not be removed")
        await asyncio.sleep(TIDY_SECONDS)


def main() -> int:
    """Serves until SIGTERM."""
    selector = HotSelector()
    return child.run("files", partial(serve, watch=selector), selector)


if __name__ == "__main__":
    sys.exit(main())
