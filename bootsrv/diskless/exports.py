"""`python -m bootsrv.diskless.exports --config FILE`: versions of images as network block devices.

One process serves all of them, or several that share port and cache (`[nbd] processes`): the first one starts
the others and ends with them. What they are up to is told by nbdstate.py; who may have what is decided by
gate.py. Reads the store, writes DATA_DIR/nbd (all of it can be thrown away) and DATA_DIR/layers.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import threading
import time

from bootsrv import child
from bootsrv.config import Config
from bootsrv.diskless import nbdstate
from bootsrv.diskless.gate import HouseGate, layers_dir, orphans
from bootsrv.diskless.shares import Shares
from bootsrv.errors import BootsrvError
from bootsrv.listening import nbd_listens_on
from bootsrv.model import BootMode, RootKind
from bootsrv.peers import Peers
from bootsrv.recorder import Recorder
from bootsrv.registry.registry import Registry
from bootsrv.supervisor import Child, Supervisor
from images.errors import ImageError
from images.nbd.exports import Exports
from images.nbd.layer import discard
from images.nbd.server import Server
from images.shelf import Shelf

log = logging.getLogger(__name__)
NUMBER = "BOOTSRV_EXPORTS"  # which of several processes this is; not set: the first
LOOK_SECONDS, TIDY_SECONDS, NEEDED_SECONDS = 5.0, 3600.0, 10.0


async def serve(config: Config, stop: asyncio.Event) -> int:
    """Open the sockets, answer until stopped or until our addresses changed."""
    if not config.nbd.enabled:
        child.ready()
        await stop.wait()
        return 0
    number = int(os.environ.get(NUMBER, "0"))
    work = _Work(config, number)
    others = Supervisor(_others(config) if number == 0 else ())  # of one port and one cache
    tasks: list[asyncio.Task[object]] = []
    try:
        places = work.start()
        running = asyncio.create_task(_when_needed(work, others))
        moved, stopped, broken = (
            asyncio.create_task(one) for one in (_addresses(config, places), stop.wait(), work.ended())
        )
        tasks = [moved, stopped, broken]
        if number == 0:
            tasks.append(asyncio.create_task(_tidy(work)))
        child.ready()
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        others.stop()
        await running
    finally:
        for task in tasks:
            task.cancel()
        work.stop()
        await work.ended()
        work.close()
    if stopped in done:
        return 0
    return child.MOVED if moved in done else 1


class _Work:
    """The server, in a thread of its own: its loop is not asyncio's."""

    def __init__(self, config: Config, number: int) -> None:
        self._config, self._number = config, number
        self._registry = Registry.open(config.registry_file)
        self._recorder = Recorder(self._registry, Peers(self._registry))
        shelf = Shelf.open(config.store_dir, create=False)
        self._exports = Exports(shelf, config.data_dir / "nbd", config.nbd.cache_bytes)
        gate = HouseGate(config, Shares(self._registry, Peers(self._registry)))
        self._server = Server(self._exports, gate, self._recorder)
        self._server.tick = self._tick
        self._thread = threading.Thread(target=self._server.run, name="nbd-loop")
        self._told: object = None
        self._told_at = 0.0
        self._seen: tuple[int, int] | None = None

    def start(self) -> list[tuple[str, int]]:
        """Open the sockets and go; where it listens. Raises OSError."""
        nbdstate.folder(self._config).mkdir(parents=True, exist_ok=True)
        if self._number == 0:
            self._exports.prepare()
            for left in nbdstate.folder(self._config).glob("*.json"):
                left.unlink()
            layers_dir(self._config).mkdir(parents=True, exist_ok=True)
        self._recorder.start()
        places = nbd_listens_on(self._config)
        self._server.listen(places)
        self._thread.start()
        return places

    def stop(self) -> None:
        if self._thread.is_alive():
            self._server.stop()

    async def ended(self) -> None:
        """Returns when the loop has ended, whatever made it."""
        while self._thread.is_alive():
            await asyncio.sleep(0.2)

    def close(self) -> None:
        self._recorder.close()
        nbdstate.ended(self._config, self._number)

    def _tick(self) -> None:
        clients, versions = self._server.tally.clients(), self._server.tally.versions()
        late = time.monotonic() - self._told_at > nbdstate.ALIVE_SECONDS
        if late or (clients, versions) != self._told:
            self._told, self._told_at = (clients, versions), time.monotonic()
            try:
                nbdstate.write(
                    self._config, self._number,
                    [nbdstate.Client(*row) for row in clients],
                    {ref: nbdstate.Served(*row) for ref, row in versions.items()},
                )  # fmt: skip
            except OSError as error:
                log.warning("what is exported cannot be told: %s", error)

    def needed(self) -> bool:
        """Whether a node has its root from here, or gets it at its next boot; asked when somebody changed
        something."""
        if (changes := self._registry.changes()) == self._seen:
            return False
        self._seen = changes
        return any(
            (node.rooted is not None and node.rooted.root.kind is RootKind.NBD)
            or (node.boots is BootMode.DISKLESS and node.root.kind is RootKind.NBD)
            for node in self._registry.nodes.perhaps_diskless()
        )

    def tidy(self) -> None:
        """Remove what nodes kept that are gone, and what was made of versions that are."""
        try:
            self._exports.tidy()
        except (ImageError, OSError) as error:
            log.warning("what was made of old versions could not be removed: %s", error)
        for gone in orphans(self._config, self._registry.nodes.list):
            log.info("%s: its node is gone", gone)
            try:
                discard(gone)
            except OSError as error:
                log.warning("%s could not be removed: %s", gone, error)


async def _when_needed(work: _Work, others: Supervisor) -> None:
    """Run the other processes, from when there is a node that would use them."""
    while not await asyncio.to_thread(work.needed):
        if await others.stopped(NEEDED_SECONDS):
            return
    try:
        await others.start()
    except (BootsrvError, OSError) as error:
        log.error("only one process serves block devices: %s", error)
        return
    await others.run()


async def _tidy(work: _Work) -> None:
    while True:
        await asyncio.to_thread(work.tidy)
        await asyncio.sleep(TIDY_SECONDS)


def _others(config: Config) -> list[Child]:
    count = config.nbd.processes or min(4, os.cpu_count() or 1)
    command = ["setpriv", "--pdeathsig", "KILL", "--", "env"]
    run = [sys.executable, "-m", "bootsrv.diskless.exports", "--config", str(config.path.absolute())]
    return [Child(f"exports {n}", [*command, f"{NUMBER}={n}", *run]) for n in range(1, count)]


async def _addresses(config: Config, places: list[tuple[str, int]]) -> None:
    """Returns when an interface got or lost an address: then new sockets are due."""
    while set(nbd_listens_on(config)) == set(places):
        await asyncio.sleep(LOOK_SECONDS)
    log.info("our addresses changed: opening new sockets")


def main() -> int:
    """Serves until SIGTERM."""
    return child.run("exports", serve)


if __name__ == "__main__":
    sys.exit(main())
