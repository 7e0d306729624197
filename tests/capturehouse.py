"""A server that takes captures in, on loopback, and a machine that uploads a tree to it."""

from __future__ import annotations

import asyncio
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bootsrv.appliance.appliance import Appliance
from bootsrv.intake import Intake
from bootsrv.storedesk import StoreDesk
from bootsrv.uploads import Uploads
from images.agent.capture import cli
from pxe.http.inflow import Call, Read, Server
from pxe.http.ports import Reply
from pxe.http.resolver import query_of


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
        self._intake = Intake(self.uploads, StoreDesk(house.images), self._worker)
        self._server = Server(self._handle)
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(listener.getsockname()[1])
        asyncio.run_coroutine_threadsafe(self._server.listen(listener), self._loop).result(30)

    async def _handle(self, call: Call, read: Read) -> Reply:
        path, _, query = call.target.partition("?")
        name = path.rpartition("/")[2]
        self.calls.append(name)
        self.taken += call.length
        await asyncio.sleep(self.late.get(query_of(query).get("number", ""), 0))
        answer = await self._intake.handle(call, read)
        if self.cut_after == name:
            self.cut_after = None
            raise ConnectionAbortedError  # it was done, but the machine never hears of it
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
        asyncio.run_coroutine_threadsafe(self._server.close(), self._loop).result(30)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(30)
        self._worker.shutdown()
        self._loop.close()
