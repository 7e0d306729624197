"""HTTP sockets: listens on TCP and on a Unix socket, hands every request to the handlers.

aiohttp's parser and writer on asyncio; no routing, no middleware, no access log (the flight recorder is
ours). Before it, on plain TCP, is `front`: what it can serve never gets here.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from pxe.http.forward import Forwarder
from pxe.http.front import Front
from pxe.http.handlers import Handlers
from pxe.http.limits import Limits
from pxe.http.ports import Site
from pxe.hub import LoopWatch, Watch
from pxe.ports import PeerJournal

__all__ = ["HttpServer", "Limits"]

log = logging.getLogger(__name__)


class NotOurs(logging.Filter):
    """Lets no record through about bytes that are no HTTP: anybody can send them, as often as they like, and
    aiohttp would log each with a traceback. The client is told with a 400."""

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        return not isinstance(error, HttpProcessingError)


log.addFilter(NotOurs())


class HttpServer:
    """Serves boot files and forwards the rest. `await start()`, then `await close()`, on one running event
    loop.

    `web_socket` is where the web process listens, `intake_socket` the one that takes captures in,
    `mirror_socket` the one that fetches packages; None: nothing is forwarded. Where the loop runs on a
    HotSelector, that is `watch`: then a plain read costs no turn of the loop.
    """

    def __init__(
        self,
        site: Site,
        journal: PeerJournal,
        web_socket: Path | None,
        limits: Limits | None = None,
        intake_socket: Path | None = None,
        mirror_socket: Path | None = None,
        watch: Watch | None = None,
    ) -> None:
        self.bound: list[tuple[str, int]] = []
        self._limits = limits or Limits()
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="house")
        slow = self._limits.sending
        self._forwarder = Forwarder(web_socket, "web", slow) if web_socket is not None else None
        self._intake = Forwarder(intake_socket, "intake", slow) if intake_socket is not None else None
        self._mirror = Forwarder(mirror_socket, "mirror", slow) if mirror_socket is not None else None
        handlers = Handlers(
            site, journal, self._forwarder, self._worker, self._limits, self._intake, self._mirror
        )
        self._server = web.Server(
            handlers.handle,
            handler_cancellation=True,  # a long poll or an event stream ends when its client leaves
            access_log=None,
            logger=log,
            auto_decompress=False,
            keepalive_timeout=self._limits.idle,
        )
        self._runner = web.ServerRunner(self._server, shutdown_timeout=self._limits.farewell)
        self._front = Front(
            site, journal, self._worker, self._limits, watch or LoopWatch(), self._server.__call__
        )
        self._unix: Path | None = None

    async def start(
        self,
        addresses: Sequence[tuple[str, int]],
        unix: Path | None = None,
        secure: Sequence[tuple[str, int]] = (),
        context: ssl.SSLContext | None = None,
    ) -> None:
        """Listen on TCP (address, port) pairs and on a Unix socket. Port 0 takes a free one: see `bound`.
        `secure` pairs speak HTTPS by `context`; they come last in `bound`.

        Raises OSError, with the address in its text, when one cannot be opened; then nothing listens.
        """
        sockets = open_all([*addresses, *secure], self._limits)
        try:
            await self._runner.setup()
            for forwarder in (self._forwarder, self._intake, self._mirror):
                if forwarder is not None:
                    await forwarder.start()
            for listener in sockets[len(addresses) :]:
                await web.SockSite(
                    self._runner, listener, backlog=self._limits.backlog, ssl_context=context
                ).start()
            self._front.listen(sockets[: len(addresses)])
            if unix is not None:
                await self._listen_unix(unix)
        except BaseException:
            await self.close()
            for listener in sockets:
                listener.close()
            raise
        self.bound = [listener.getsockname()[:2] for listener in sockets]

    async def _listen_unix(self, path: Path) -> None:
        path.unlink(missing_ok=True)  # left over from a server that was killed
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            listener.bind(str(path))
            await web.SockSite(self._runner, listener, backlog=self._limits.backlog).start()
        except BaseException:
            listener.close()
            raise
        self._unix = path

    async def close(self) -> None:
        """Stop listening, give running requests a moment, then end them."""
        await asyncio.gather(self._front.close(), self._runner.cleanup())
        for forwarder in (self._forwarder, self._intake, self._mirror):
            if forwarder is not None:
                await forwarder.close()
        self._worker.shutdown(wait=True, cancel_futures=True)
        if self._unix is not None:
            self._unix.unlink(missing_ok=True)


def open_all(addresses: Sequence[tuple[str, int]], limits: Limits) -> list[socket.socket]:
    """TCP listeners for all addresses, or an OSError and none."""
    opened: list[socket.socket] = []
    try:
        for address, port in addresses:
            opened.append(_open(address, port, limits))
    except OSError:
        for listener in opened:
            listener.close()
        raise
    return opened


def _open(address: str, port: int, limits: Limits) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        # Accepted connections inherit all of these.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 30)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 10)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(limits.stalled * 1000))
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if address == "::" else 1)
        listener.bind((address, port))
    except OSError as error:
        listener.close()
        raise OSError(error.errno, f"HTTP on {address} port {port}: {error.strerror}") from error
    return listener
