"""A server that takes captures in, on loopback, and a machine that uploads a tree to it."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from aiohttp import web

from bootsrv.appliance.appliance import Appliance
from bootsrv.intake import Intake
from bootsrv.uploads import Uploads
from images.agent.capture import cli


class Running:
    """The intake process in a thread, on a TCP port of loopback."""

    def __init__(self, house: Appliance) -> None:
        self.house = house
        self.uploads = Uploads(house.registry, house.images)
        self.calls: list[str] = []
        self.taken = 0  # bytes of bodies
        self.late: dict[str, float] = {}  # seconds by which bodies of a stream come later
        self.cut_after: str | None = None  # break the connection of the next call of that name
        self._loop = asyncio.new_event_loop()
        self._worker = ThreadPoolExecutor(1)
        self._intake = Intake(self.uploads, self._worker)
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.port = asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(30)

    async def _start(self) -> int:
        self._runner = web.ServerRunner(web.Server(self._handle, access_log=None), shutdown_timeout=1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        return int(self._runner.addresses[0][1])

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        call = request.path.rpartition("/")[2]
        self.calls.append(call)
        self.taken += request.content_length or 0
        await asyncio.sleep(self.late.get(request.query.get("number", ""), 0))
        answer = await self._intake.handle(request)
        if self.cut_after == call:
            self.cut_after = None
            assert request.transport is not None
            request.transport.abort()  # it was done, but the machine never hears of it
        return answer

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def forget(self) -> None:
        """As a restart of the process: captures under way are gone."""
        self._worker.submit(self.uploads.close).result(30)

    def capture(self, root: Path, token: str, *words: str) -> int:
        return cli.main([f"--token={token}", "--root", str(root), "--give-up", "30", *words], self.url)

    def close(self) -> None:
        self._worker.submit(self.uploads.close).result(30)
        asyncio.run_coroutine_threadsafe(self._runner.cleanup(), self._loop).result(30)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(30)
        self._worker.shutdown()
        self._loop.close()
