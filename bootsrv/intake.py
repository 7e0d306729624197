"""`python -m bootsrv.intake --config FILE`: takes captured machines into the store.

A process of its own, because it alone of those that serve may write to the store and sign, and because
compressing gigabytes must not hold up a boot script. It listens on a Unix socket that the files process
forwards `/capture/v1/` to; one thread does the calls.
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

from aiohttp import web

from bootsrv import child
from bootsrv.appliance.images import Images
from bootsrv.config import Config
from bootsrv.privilege import USER
from bootsrv.registry.registry import Registry
from bootsrv.uploads import EARLY, Uploads
from images.capture import wire
from pxe.http.ports import NodeRequest, Reply
from pxe.http.resolver import bearer, query_of

log = logging.getLogger(__name__)
Asked = TypeVar("Asked")
Answer = TypeVar("Answer")
SOCKET = "intake.sock"
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

    def __init__(self, uploads: Uploads, worker: ThreadPoolExecutor) -> None:
        self._uploads, self._worker = uploads, worker
        self._room, self._held = asyncio.Semaphore(BODIES), asyncio.Semaphore(HELD)
        self._admitted: dict[str, float] = {}  # tokens, and until when their bodies are read unasked
        self._moved = asyncio.Event()  # set, and another, after each answer

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """One call."""
        path, _, query = request.raw_path.partition("?")
        if not path.startswith(PREFIX):
            return web.json_response({"error": "no such call"}, status=404)
        token = bearer(request.headers.get("Authorization"))
        asked = NodeRequest(
            request.method, path[len(PREFIX) :], query_of(query), {}, b"",
            request.headers.get("X-Forwarded-For", ""), token,
        )  # fmt: skip
        if not await self._admits(token):
            return _answer(await self._ask(self._uploads.handle, asked))  # says why, whatever it sends
        async with self._held:
            return await self._read_and_answer(request, asked)

    async def _read_and_answer(self, request: web.BaseRequest, asked: NodeRequest) -> web.Response:
        try:
            async with self._room, asyncio.timeout(BODY_SECONDS):
                body = await _body(request)
        except TimeoutError:
            return web.json_response({"error": f"not sent within {BODY_SECONDS:.0f} s"}, status=408)
        if body is None:
            return web.json_response({"error": f"more than {MAX_BODY} bytes at once"}, status=413)
        started = time.monotonic()
        answer = _answer(await self._in_turn(replace(asked, body=body)))
        answer.headers[TIMING] = f"all;dur={1000 * (time.monotonic() - started):.1f}"
        return answer

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

    async def _in_turn(self, asked: NodeRequest) -> Reply:
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

    async def _ask(self, question: Callable[[Asked], Answer], asked: Asked) -> Answer:
        return await asyncio.get_running_loop().run_in_executor(self._worker, question, asked)


async def _body(request: web.BaseRequest) -> bytes | None:
    """All of it; None when that is more than we take."""
    parts, size = list[bytes](), 0
    async for piece in request.content.iter_any():
        parts.append(piece)
        size += len(piece)
        if size > MAX_BODY:
            return None
    return b"".join(parts)


def _answer(reply: Reply) -> web.Response:
    return web.Response(status=reply.status, body=reply.body, content_type=reply.type)


async def serve(config: Config, stop: asyncio.Event) -> int:
    """Open the socket, answer until stopped."""
    registry = Registry.open(config.registry_file)
    uploads = Uploads(registry, Images(config, registry))
    worker = ThreadPoolExecutor(1, thread_name_prefix="uploads")
    runner = web.ServerRunner(
        web.Server(Intake(uploads, worker).handle, access_log=None, auto_decompress=False),
        shutdown_timeout=2.0,
    )
    path = config.run_dir / SOCKET
    try:
        await runner.setup()
        path.unlink(missing_ok=True)
        await web.UnixSite(runner, path).start()
        _hand_over(path)
        child.ready()
        while not stop.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), TIDY_SECONDS)
            await asyncio.get_running_loop().run_in_executor(worker, uploads.tidy)
    finally:
        await runner.cleanup()
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
