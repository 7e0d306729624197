"""A house for tests: answers as told, remembers what it was asked. Runs an HttpServer on loopback."""

from __future__ import annotations

import asyncio
import http.client
import random
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pxe.catalogue import Catalogue, Entry, entry_of
from pxe.http.ports import Denied, NodeRequest, Reply, Wait
from pxe.http.server import HttpServer, Limits
from pxe.hub import HotSelector

KERNEL = random.Random(1).randbytes(3_000_000)


class House:
    """pxe.http.ports.Site and PeerJournal in one."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "public").mkdir(exist_ok=True)
        self.files: dict[str, bytes | Path] = {}
        self.made: dict[str, bytes] = {}
        self.catalogue = Catalogue(public=root / "public")
        self.asked: list[NodeRequest] = []
        self.answers: list[Reply | Wait | Exception] = []
        self.events: list[tuple[str, str, dict[str, Any]]] = []
        self.scripts: list[Denied | Wait] = []
        self.threads: set[str] = set()
        self.sent: list[tuple[str, str]] = []
        self.stored: dict[tuple[str, str], bytes | Path | Denied] = {}
        self.waits = 0  # how often the store says that it is making something

    def boot_script(
        self, mac: str, query: Mapping[str, str], peer: str, local: str = "", waited: float = 0.0,
        file: str = "script.ipxe",
    ) -> str | Denied | Wait:
        self.threads.add(threading.current_thread().name)
        if self.scripts:
            return self.scripts.pop(0)
        return f"#!{file}\n# {mac} {dict(query)} reached {local} from {peer}\n"

    def boot_file(self, name: str) -> Entry | None:
        return Catalogue(fixed=self.files).fixed(name)

    def boot_made(self, name: str, peer: str) -> Entry | None:
        self.threads.add(threading.current_thread().name)
        return entry_of(self.made[name] + peer.encode()) if name in self.made else None

    def public(self, name: str) -> Entry | None:
        return self.catalogue.public(name)

    def tree(self, tree: str, name: str) -> Entry | None:
        self.threads.add(threading.current_thread().name)
        return Catalogue(fixed=self.files).fixed(f"tree/{tree}/{name}")

    def mirror(self, name: str, path: str, peer: str) -> Entry | Denied | None:
        if name == "none":
            return Denied(404, "there is no such archive")
        return Catalogue(fixed=self.files).fixed(f"mirror/{name}/{path}")

    def store(self, kind: str, id: str, token: str | None) -> Path | bytes | Denied | Wait | None:
        if self.waits > 0:
            self.waits -= 1
            return Wait(0.01)
        if token != "good":
            return Denied(401 if token is None else 403)
        return self.stored.get((kind, id))

    def agent(self, server: str) -> bytes:
        return f"# talks to {server}\n".encode()

    def install(self, token: str, name: str, request: NodeRequest) -> Reply | Wait:
        self.threads.add(threading.current_thread().name)
        self.asked.append(request)
        return Reply(200, f"answers of {token}/{name}".encode(), "text/plain")

    def install_sent(self, token: str, name: str) -> None:
        self.sent.append((token, name))

    def node(self, request: NodeRequest) -> Reply | Wait:
        self.threads.add(threading.current_thread().name)
        self.asked.append(request)
        answer = self.answers.pop(0) if self.answers else Reply(204)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def record_peer(self, address: str, kind: str, text: str, data: Mapping[str, Any] | None = None) -> None:
        self.events.append((address, kind, dict(data or {})))


class Running:
    """An HttpServer on its own loop in a thread, for clients that block. `hot`: on the selector that serves
    sockets itself, as shipped."""

    def __init__(
        self,
        house: House,
        web: Path | None = None,
        unix: Path | None = None,
        hot: bool = True,
        **limits: Any,
    ) -> None:
        self._watch = HotSelector() if hot else None
        self.loop = asyncio.SelectorEventLoop(self._watch)
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()
        self.server = self.do(self._make(house, web, limits))
        self.do(self.server.start([("127.0.0.1", 0), ("::1", 0)], unix))
        self.port = self.server.bound[0][1]
        self.url = f"http://127.0.0.1:{self.port}"

    async def _make(self, house: House, web: Path | None, limits: dict[str, Any]) -> HttpServer:
        return HttpServer(house, house, web, Limits(**limits), watch=self._watch)

    def do(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(20)

    def close(self) -> None:
        self.do(self.server.close())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(5)
        self.loop.close()


def ask(
    running: Running, method: str, path: str, body: bytes | None = None,
    headers: Mapping[str, str] | None = None, address: str = "127.0.0.1",
) -> tuple[http.client.HTTPResponse, bytes]:  # fmt: skip
    """One request on a connection of its own: the answer, and its body."""
    port = dict(running.server.bound)[address]
    connection = http.client.HTTPConnection(address, port, timeout=10)
    connection.request(method, path, body, headers or {})
    response = connection.getresponse()
    content = response.read()
    connection.close()
    return response, content


def get(running: Running, path: str, **headers: str) -> tuple[http.client.HTTPResponse, bytes]:
    return ask(running, "GET", path, headers={n.replace("_", "-"): v for n, v in headers.items()})


def wait_for(condition: Callable[[], object], seconds: float = 5) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)
