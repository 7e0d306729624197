"""Keeps a few processes running: starts them, waits until each says it is ready, starts a crashed one again.

One crash takes nothing else down. A process that ends before it was ever ready ends the whole start, with
its reason on stderr; later it is started again after a growing pause. The law: when this process is gone,
they are gone.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from bootsrv.child import MOVED, READY_VARIABLE
from bootsrv.errors import BootsrvError

log = logging.getLogger(__name__)
START_SECONDS = 60.0
STOP_SECONDS = 10.0
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
STABLE_SECONDS = 60.0  # after this long a crash counts as the first one again


@dataclass
class Child:
    """One supervised process."""

    name: str
    argv: Sequence[str]
    process: asyncio.subprocess.Process | None = None
    started: float = 0.0
    pause: float = FIRST_PAUSE
    restarts: int = field(default=0)


class Supervisor:
    """Runs children until told to stop."""

    def __init__(self, children: Sequence[Child]) -> None:
        self._children = children
        self._stop = asyncio.Event()

    def stop(self) -> None:
        """End everything; `run` returns when it has."""
        self._stop.set()

    async def stopped(self, seconds: float) -> bool:
        """Whether it is told to stop within that time."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stop.wait(), seconds)
        return self._stop.is_set()

    async def start(self) -> None:
        """Start all and wait until all are ready. Raises BootsrvError naming the one that is not."""
        try:
            await asyncio.gather(*(self._start(child) for child in self._children))
        except BaseException:
            await self._end()
            raise

    async def run(self) -> None:
        """Watch them until `stop`; then end them."""
        watchers = [asyncio.create_task(self._watch(child)) for child in self._children]
        await self._stop.wait()
        for watcher in watchers:
            watcher.cancel()
        await asyncio.gather(*watchers, return_exceptions=True)
        await self._end()

    async def _start(self, child: Child) -> None:
        reader, writer = os.pipe()
        try:
            child.process = await asyncio.create_subprocess_exec(
                *child.argv,
                pass_fds=[writer],
                stdin=asyncio.subprocess.DEVNULL,
                env={**os.environ, READY_VARIABLE: str(writer)},
            )
        except BaseException:
            os.close(reader)
            raise
        finally:
            os.close(writer)
        child.started = time.monotonic()
        try:
            said = await asyncio.wait_for(_line(reader), START_SECONDS)
        except TimeoutError:
            child.process.kill()  # it would be waited for without end
            raise BootsrvError(f"{child.name} was not ready within {START_SECONDS:.0f} s") from None
        finally:
            os.close(reader)
        if said != b"ready\n":
            code = await child.process.wait()
            raise BootsrvError(f"{child.name} ended at its start ({_cause(code)}); its reason is above")

    async def _watch(self, child: Child) -> None:
        while child.process is not None:
            code = await child.process.wait()
            if code == MOVED:
                child.pause = 0.0
            elif time.monotonic() - child.started > STABLE_SECONDS:
                child.pause = FIRST_PAUSE
            if code != MOVED:
                log.error("%s ended (%s); starting it again in %.1f s", child.name, _cause(code), child.pause)
            await asyncio.sleep(child.pause)
            child.pause = min(max(child.pause * 2, FIRST_PAUSE), LONGEST_PAUSE)
            child.restarts += 1
            try:
                await self._start(child)
                log.info("%s is ready again", child.name)
            except (BootsrvError, OSError) as error:
                log.error("%s", error)

    async def _end(self) -> None:
        """Ask every child to end, and make it."""
        alive = [
            child.process for child in self._children if child.process and child.process.returncode is None
        ]
        for process in alive:
            process.terminate()
        if not alive:
            return
        _, late = await asyncio.wait([asyncio.create_task(p.wait()) for p in alive], timeout=STOP_SECONDS)
        if late:
            for process in alive:
                if process.returncode is None:
                    log.warning("process %d did not end in %.0f s: killed", process.pid, STOP_SECONDS)
                    process.kill()
            await asyncio.wait(late)


async def _line(reader: int) -> bytes:
    """What the child writes to its pipe; b"" when it closed it without a word."""
    loop = asyncio.get_running_loop()
    said: asyncio.Future[bytes] = loop.create_future()

    def readable() -> None:
        loop.remove_reader(reader)
        if not said.done():
            said.set_result(os.read(reader, 64))

    loop.add_reader(reader, readable)
    try:
        return await said
    finally:
        loop.remove_reader(reader)


def _cause(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"
