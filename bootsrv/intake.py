"""`python -m bootsrv.intake --config FILE`: takes captured machines into the store.

A process of its own, because it alone of those that serve may write to the store and sign, and because
compressing gigabytes must not hold up a boot script. It listens on a Unix socket that the files process
forwards `/capture/v1/` to; one thread does the calls, and what the web process asks of the store
(storedesk.py).
"""

from __future__ import annotations

import asyncio
import grp
import logging
import os
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from bootsrv import child, storedesk
from bootsrv.appliance.images import Images
from bootsrv.calls import json_reply
from bootsrv.config import Config
from bootsrv.privilege import USER
from bootsrv.registry.registry import Registry
from bootsrv.storedesk import SOCKET, StoreDesk
from bootsrv.uploads import EARLY, Asked, Uploads
from images.capture import wire
from pxe.http.inflow import Call, Read, Server
from pxe.http.ports import Reply
from pxe.http.resolver import bearer, query_of

log = logging.getLogger(__name__)
Question = TypeVar("Question")
Answer = TypeVar("Answer")
PREFIX = "/capture/v1/"
MAX_BODY = wire.LIMIT + 4096
BODIES = 4  # bodies on their way in at once
HELD = 40  # bodies in memory: two of each capture that may be under way, and a few
BODY_SECONDS = 100.0
TIDY_SECONDS = 60.0
ADMITTED_SECONDS = 30.0
TURN_SECONDS = 20.0  # that a body waits for the one before it
TIMING = "Server-Timing"  # how long we took, so that the sender knows the rest for the network's (W3C)


class Intake:
    """The socket's side: reads a body, lets the thread answer."""

    def __init__(self, uploads: Uploads, desk: StoreDesk, worker: ThreadPoolExecutor) -> None:
        self._uploads, self._desk, self._worker = uploads, desk, worker
        self._room, self._held = asyncio.Semaphore(BODIES), asyncio.Semaphore(HELD)
        self._admitted: dict[str, float] = {}  # tokens, and until when their bodies are read unasked
        self._moved = asyncio.Event()  # set, and another, after each answer

    async def handle(self, call: Call, read: Read) -> Reply:
        """One call."""
        path, _, query = call.target.partition("?")
        inside = call.method == "POST" and not storedesk.forwarded(call.headers)
        if inside and path.startswith(storedesk.PREFIX):
            verb, words = path[len(storedesk.PREFIX) :], query_of(query)
            return await self._ask(lambda asked: self._desk.handle(verb, asked), words)
        if not path.startswith(PREFIX):
            return json_reply({"error": "no such call"}, 404)
        token = bearer(call.headers.get("authorization"))
        asked = Asked(call.method, path[len(PREFIX) :], query_of(query), b"", token)
        if not await self._admits(token):
            return await self._ask(self._uploads.handle, asked)  # says why, whatever it sends
        if call.length > MAX_BODY:
            return json_reply({"error": f"more than {MAX_BODY} bytes at once"}, 413)
        async with self._held:
            try:
                async with self._room, asyncio.timeout(BODY_SECONDS):
                    body = await read()
            except TimeoutError:
                return json_reply({"error": f"not sent within {BODY_SECONDS:.0f} s"}, 408)
            started = time.monotonic()
            reply = await self._in_turn(replace(asked, body=body))
        took = f"all;dur={1000 * (time.monotonic() - started):.1f}"
        return replace(reply, headers={**reply.headers, TIMING: took})

    async def _admits(self, token: str | None) -> bool:
        """The thread may be busy with this sender's last body, and would hold up the next one's way."""
        now = time.monotonic()
        if token is not None and self._admitted.get(token, 0.0) > now:
            return True
        admitted = await self._ask(self._uploads.admits, token)
        if admitted and token is not None:
            self._admitted = {one: ends for one, ends in self._admitted.items() if ends > now}
            self._admitted[token] = now + ADMITTED_SECONDS
        return admitted

    async def _in_turn(self, asked: Asked) -> Reply:
        """What overtook the one before it is answered after that one; if that never comes, it is refused."""
        ends = time.monotonic() + TURN_SECONDS
        while True:
            moved = self._moved
            reply = await self._ask(self._uploads.handle, asked)
            if reply.status != EARLY or time.monotonic() >= ends:
                self._moved.set()
                self._moved = asyncio.Event()
                return reply
            with suppress(TimeoutError):
                await asyncio.wait_for(moved.wait(), ends - time.monotonic())

    async def _ask(self, question: Callable[[Question], Answer], asked: Question) -> Answer:
        return await asyncio.get_running_loop().run_in_executor(self._worker, question, asked)


async def serve(config: Config, stop: asyncio.Event) -> int:
    """Open the socket, answer until stopped."""
    registry = Registry.open(config.registry_file)
    images = Images(config, registry, keeps_store=True)
    uploads, desk = Uploads(registry, images), StoreDesk(images)
    worker = ThreadPoolExecutor(1, thread_name_prefix="uploads")
    server = Server(Intake(uploads, desk, worker).handle)
    path = config.run_dir / SOCKET
    try:
        path.unlink(missing_ok=True)
        await server.listen(path)
        _hand_over(path)
        child.ready()
        while not stop.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), TIDY_SECONDS)
            await asyncio.get_running_loop().run_in_executor(worker, uploads.tidy)
    finally:
        await server.close()
        await asyncio.get_running_loop().run_in_executor(worker, uploads.close)
        worker.shutdown()
        path.unlink(missing_ok=True)
    return 0


def _hand_over(path: Path) -> None:
    """The files process, which has another user, may connect."""
    path.chmod(0o660)
    if os.geteuid() == 0:
        with suppress(KeyError):  # no such group here: then it runs as we do
            os.chown(path, -1, grp.getgrnam(USER).gr_gid)


def main() -> int:
    """Serves until SIGTERM."""
    return child.run("intake", serve)


if __name__ == "__main__":
    sys.exit(main())
