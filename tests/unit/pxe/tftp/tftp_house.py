"""A TFTP server on loopback for tests, with a journal and uploads that remember."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pxe.catalogue import Catalogue
from pxe.hub import HotSelector
from pxe.tftp.server import Limits, Listen, TftpServer


class Kept:
    """One upload in memory."""

    def __init__(self, name: str, size: int | None) -> None:
        self.name, self.size, self.limit = name, size, 64 << 20
        self.data, self.state = b"", "open"

    def write(self, data: bytes) -> None:
        assert self.state == "open"
        self.data += data

    def finish(self) -> None:
        assert self.state == "open"
        self.state = "finished"

    def abort(self, reason: str) -> None:
        assert self.state == "open"
        self.state = f"aborted: {reason}"


class TftpHouse:
    """Files in `public`, a server on 127.0.0.1 and ::1 with free ports, on a loop in its own thread."""

    def __init__(
        self,
        public: Path,
        fixed: Mapping[str, bytes | Path] | None = None,
        limits: Limits | None = None,
        hot: bool = True,
    ) -> None:
        self.events: list[tuple[str, str, dict[str, Any]]] = []
        self.uploads: list[Kept] = []
        selector = HotSelector() if hot else None
        self.loop = asyncio.SelectorEventLoop(selector)
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()
        self.server = TftpServer(Catalogue(fixed, public), self, self, limits, selector)
        places = [Listen("127.0.0.1", 0), Listen("::1", 0), Listen("0.0.0.0", 0), Listen("::", 0)]
        self.do(self.server.start(places))
        self.port, self.port6, self.any, self.any6 = (port for _, port in self.server.bound)

    def begin(self, name: str, peer: str, size: int | None) -> Kept | None:
        if not name.startswith("up/"):
            return None
        self.uploads.append(Kept(name, size))
        return self.uploads[-1]

    def record_peer(self, address: str, kind: str, text: str, data: Mapping[str, Any] | None = None) -> None:
        self.events.append((address, kind, {**(data or {}), "text": text}))

    def kinds(self) -> list[str]:
        return [kind for _, kind, _ in self.events]

    def do(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(20)

    def close(self) -> None:
        self.do(self.server.close())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(5)
        self.loop.close()
