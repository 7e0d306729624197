"""A package archive on loopback that counts, and can be told to misbehave; and a cache in front of it."""

from __future__ import annotations

import asyncio
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from aiohttp import web

from pxe.mirror.cache import Cache
from pxe.mirror.flight import Archive
from pxe.mirror.server import MirrorServer


class Upstream:
    """`files` by path. `cut`: after how many bytes the connection breaks, one number for each request;
    `length`: a Content-Length that is a lie; `status`: an error to answer with; `pause`: seconds before
    each piece."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.asked: Counter[str] = Counter()
        self.sent: Counter[str] = Counter()  # whole or in part, without 304 and errors
        self.ranges: list[str] = []
        self.seen: list[dict[str, str]] = []
        self.cut: dict[str, list[int]] = {}
        self.length: dict[str, int] = {}
        self.status = 0
        self.pause = 0.0
        self.gate: threading.Event | None = None  # what comes after 200 KB waits for it
        self.after_cut: Callable[[], None] = lambda: None
        self.chunked = False
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/archive"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        upstream = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                upstream.answer(self)

            do_HEAD = do_GET

            def log_message(self, *args: Any) -> None:
                pass

        return Handler

    def answer(self, to: BaseHTTPRequestHandler) -> None:
        path = to.path.removeprefix("/archive/")
        self.asked[path] += 1
        self.seen.append(dict(to.headers))
        data = self.files.get(path)
        if self.status or data is None:
            to.send_response(self.status or 404)
            to.send_header("Content-Length", "0")
            to.end_headers()
            return
        etag, start = f'"{hash(data) & 0xFFFFFFFF:x}"', 0
        if to.headers.get("If-None-Match") == etag:
            to.send_response(304)
            to.end_headers()
            return
        self.sent[path] += 1
        if (wanted := to.headers.get("Range")) and to.headers.get("If-Range") == etag:
            start = int(wanted.removeprefix("bytes=").partition("-")[0])
            self.ranges.append(wanted)
            to.send_response(206)
            to.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        else:
            to.send_response(200)
        to.send_header("ETag", etag)
        to.send_header("Last-Modified", formatdate(1_700_000_000.0, usegmt=True))
        self._body(to, path, data[start:])

    def _body(self, to: BaseHTTPRequestHandler, path: str, data: bytes) -> None:
        if self.chunked:
            to.send_header("Transfer-Encoding", "chunked")
        else:
            to.send_header("Content-Length", str(self.length.get(path, len(data))))
        to.end_headers()
        cuts = self.cut.get(path)
        stop = cuts.pop(0) if cuts else len(data)
        for place in range(0, min(stop, len(data)), 65536):
            if self.pause:
                time.sleep(self.pause)
            if self.gate is not None and place > 200_000:
                self.gate.wait(20)
            piece = data[place : min(place + 65536, stop)]
            to.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece) if self.chunked else piece)
        if stop < len(data) or path in self.length:
            self.after_cut()
            to.close_connection = True
        elif self.chunked:
            to.wfile.write(b"0\r\n\r\n")


class Running:
    """A MirrorServer on its own loop in a thread; `now` is its clock."""

    def __init__(self, root: Path, *urls: str, limit: int = 1 << 30, **options: Any) -> None:
        self.root = root
        self.troubles: list[str] = []
        self.now = 1_700_000_000.0
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()
        self.port = self.do(self._start(urls, limit, options))
        self.url = f"http://127.0.0.1:{self.port}/mirror/debian"

    async def _start(self, urls: tuple[str, ...], limit: int, options: dict[str, Any]) -> int:
        self.cache = Cache(self.root, limit, **{"reserve": 0, **options})
        self.archives = {"debian": Archive("debian", urls)}
        self.server = MirrorServer(self.archives, self.cache, self, lambda: self.now)
        await self.server.start()
        server = web.Server(self.server.handle, access_log=None, auto_decompress=False)
        self._runner = web.ServerRunner(server, shutdown_timeout=0.2)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0, backlog=512).start()
        return int(self._runner.addresses[0][1])

    def trouble(self, mirror: str, text: str) -> None:
        self.troubles.append(text)

    def do(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(20)

    def close(self) -> None:
        self.do(self._runner.cleanup())
        self.do(self.server.close())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(5)
        self.loop.close()

    def get(self, path: str, method: str = "GET", **headers: str) -> tuple[int, bytes, dict[str, str]]:
        """Status, body, headers. Raises http.client.IncompleteRead or ConnectionError for a cut answer."""
        plain = {name.replace("_", "-"): value for name, value in headers.items()}
        asked = urllib.request.Request(f"{self.url}/{path}", method=method, headers=plain)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(asked, timeout=30) as answer:
                return answer.status, answer.read(), dict(answer.headers)
        except urllib.error.HTTPError as error:
            return error.code, error.read(), dict(error.headers)
