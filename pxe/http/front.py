"""The TCP listeners: serves plain reads of files itself, and hands all other connections to the complete
server (aiohttp, with `handlers`).

What a rack fetches when it is switched on is a few files, over and over. A task, a parser for all of HTTP and
several turns of the event loop for each request cost more than to send it. The law: whoever cannot be served
here loses nothing: the complete server gets the connection as if it had accepted it.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from email.utils import formatdate
from functools import lru_cache

from pxe.catalogue import Entry
from pxe.http import files, wire
from pxe.http.connection import Connection
from pxe.http.files import Dress, FileRoute
from pxe.http.limits import Limits
from pxe.http.openfiles import OpenFiles
from pxe.http.ports import Denied, Site, Wait
from pxe.http.resolver import BootFile, Mirrored, Public, Stored, TreeFile, bearer, is_boot_program, route
from pxe.hub import Watch
from pxe.ports import PeerJournal

log = logging.getLogger(__name__)
_NO_ROOM = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_PAUSE = 1.0  # seconds without accepting when descriptors have run out
_LOOK = 1.0  # seconds between two looks for idle connections, at most


class Front:
    """`listen`, then `await close()`, on one running event loop. `complete` makes the protocol of a
    connection that is handed over. Implements `connection.Host`."""

    def __init__(
        self,
        site: Site,
        journal: PeerJournal,
        worker: ThreadPoolExecutor,
        limits: Limits,
        watch: Watch,
        complete: Callable[[], asyncio.Protocol],
    ) -> None:
        self.watch, self.journal, self.files = watch, journal, OpenFiles()
        self._site, self._worker, self._limits, self._complete = site, worker, limits, complete
        self._listeners: list[socket.socket] = []
        self._connections: set[Connection] = set()
        self._moving: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._closing = False
        self._second, self._date = 0, ""
        self.now = time.monotonic

    def listen(self, sockets: Sequence[socket.socket]) -> None:
        """Accept on these bound sockets; they are ours from now on. Raises OSError."""
        for listener in sockets:
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # accepted ones inherit it
            listener.listen(self._limits.backlog)
            self._listeners.append(listener)
            self._open(listener)
        self._look()

    async def close(self) -> None:
        """Stop listening; what is being sent gets a moment to end."""
        self._closing = True
        for listener in self._listeners:
            self.watch.unwatch(listener.fileno())
            listener.close()
        self._listeners.clear()
        if self._timer is not None:
            self._timer.cancel()
        for connection in list(self._connections):
            if connection.busy:
                connection.last = True
            else:
                connection.drop()
        until = self.now() + self._limits.farewell
        while self._connections and self.now() < until:
            await asyncio.sleep(0.02)
        for connection in list(self._connections):
            connection.drop()
        await asyncio.gather(*self._moving, return_exceptions=True)
        self.files.close()

    def find(self, head: wire.Head) -> tuple[FileRoute, Dress, Entry | None] | None:
        """See Host."""
        meant = _means(head) if head.short else _means.__wrapped__(head)
        if meant is None:
            return None
        where, how, at_hand = meant
        if not at_hand:
            return where, how, None
        entry = files.held(self._site, where)
        return None if entry is None else (where, how, entry)

    def ask(self, connection: Connection, head: wire.Head, where: FileRoute) -> None:
        """See Host."""
        assert not isinstance(where, BootFile | Public)
        token = bearer(head.headers.get("authorization"))
        future = asyncio.get_running_loop().run_in_executor(
            self._worker, files.asked, self._site, where, connection.peer, token
        )
        future.add_done_callback(lambda asked: connection.found(_entry(asked)))

    def date(self) -> str:
        """See Host."""
        now = time.time()
        if int(now) != self._second:
            self._second, self._date = int(now), formatdate(now, usegmt=True)
        return self._date

    def hand_over(self, sock: socket.socket, raw: bytes) -> None:
        """See Host."""
        if self._closing:
            sock.close()
            return
        task = asyncio.get_running_loop().create_task(self._move(sock, raw))
        self._moving.add(task)
        task.add_done_callback(self._moving.discard)

    def ended(self, connection: Connection) -> None:
        """See Host."""
        self._connections.discard(connection)

    async def _move(self, sock: socket.socket, raw: bytes) -> None:
        try:
            loop = asyncio.get_running_loop()
            await loop.connect_accepted_socket(lambda: _Begun(self._complete, raw), sock)
        except OSError as error:
            log.info("a connection was lost: %s", error)
            sock.close()

    def _open(self, listener: socket.socket) -> None:
        self.watch.watch(listener.fileno(), lambda: self._accept(listener))

    def _accept(self, listener: socket.socket) -> None:
        """One that waits; while there are more, this is called again."""
        try:
            sock, peer = listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        except OSError as error:
            if error.errno not in _NO_ROOM:
                log.warning("HTTP: %s", error)  # of a connection that is gone already, accept(2)
                return
            log.error("HTTP: no new connection for %g s: %s", _PAUSE, error)
            self.watch.unwatch(listener.fileno())
            asyncio.get_running_loop().call_later(_PAUSE, self._again, listener)
            return
        sock.setblocking(False)
        self._connections.add(Connection(self, sock, peer))

    def _again(self, listener: socket.socket) -> None:
        if listener in self._listeners:
            self._open(listener)

    def _look(self) -> None:
        """Let go who has not asked for long, and what was not asked for."""
        now, idle = self.now(), self._limits.idle
        for connection in [c for c in self._connections if not c.busy and now - c.since >= idle]:
            connection.drop()
        self.files.tidy(now)
        self._timer = asyncio.get_running_loop().call_later(min(_LOOK, idle / 4), self._look)


class _Begun(asyncio.Protocol):
    """Gives a connection to its new protocol, with what was read from it before."""

    def __init__(self, complete: Callable[[], asyncio.Protocol], raw: bytes) -> None:
        self._complete, self._raw = complete, raw

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        protocol = self._complete()
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        protocol.data_received(self._raw)


@lru_cache(1024)
def _means(head: wire.Head) -> tuple[FileRoute, Dress, bool] | None:
    """The file that a request is for, and whether it is found without asking the house; None: it is for no
    file."""
    where = route(head.method, head.target)
    if isinstance(where, BootFile | Public | TreeFile | Mirrored | Stored):
        how = files.dress(where, is_boot_program(head.headers.get("user-agent")))
        return where, how, isinstance(where, BootFile | Public)
    return None


def _entry(asked: asyncio.Future[Entry | Denied | Wait | None]) -> Entry | None:
    """None: there is none, it failed, is being made, or is not for everybody: the complete server says
    which."""
    if asked.cancelled() or asked.exception() is not None:
        return None
    answer = asked.result()
    return answer if isinstance(answer, Entry) else None
