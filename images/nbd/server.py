"""The sockets of the block device: one event loop without a library around it, and two threads for what
blocks.

A process like this serves some thousand clients; several of them share a port (SO_REUSEPORT) and a cache.
Law: the loop never waits for a disk or a lock; memory does not grow with the data that is under way.
"""

from __future__ import annotations

import logging
import os
import select
import socket
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial

from images.errors import ImageError
from images.nbd.admission import Admission, Opened
from images.nbd.boots import Boots
from images.nbd.client import Client
from images.nbd.exports import Exports
from images.nbd.gate import Gate, Journal, Refused
from images.nbd.layer import Layer
from images.nbd.session import Asked
from images.nbd.tally import Tally
from images.nbd.transmission import Transmission
from images.nbd.wire import Answer, Error, Request, WireError

log = logging.getLogger(__name__)
THREADS = 2
TICK = 1.0
TELL_AGAIN, MOST_TOLD = 60.0, 10_000
_KEEPALIVE = ((socket.TCP_KEEPIDLE, 30), (socket.TCP_KEEPINTVL, 10), (socket.TCP_KEEPCNT, 6))
_READ, _WRITE, _GONE = select.EPOLLIN, select.EPOLLOUT, select.EPOLLHUP | select.EPOLLERR


class Server:
    """`run` until `stop`. `tick` is called once a second from the loop."""

    def __init__(self, exports: Exports, gate: Gate, journal: Journal) -> None:
        self._exports, self._journal = exports, journal
        self._admission = Admission(exports, gate)
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="nbd")
        self._slow = ThreadPoolExecutor(4, thread_name_prefix="nbd-ask")  # opens exports, waits for disks
        self._epoll = select.epoll()
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._epoll.register(self._wake, _READ)
        self._listeners: dict[int, socket.socket] = {}
        self.clients: dict[int, Client] = {}
        self._events: dict[int, int] = {}
        self._done: deque[Callable[[], None]] = deque()
        self._bringing: dict[tuple[str, tuple[int, int]], list[tuple[Transmission, Request]]] = {}
        self._by_transmission: dict[Transmission, Client] = {}
        self.tally = Tally(self.clients.values, exports.cached)
        self._told: dict[tuple[str, str], float] = {}
        self._stopped = False
        self._boots = Boots(exports.root / "traces", self._slow, lambda: self._stopped)
        self.tick: Callable[[], None] = lambda: None

    def listen(self, places: Iterable[tuple[str, int]]) -> list[tuple[str, int]]:
        """Open the sockets; their real addresses. Raises OSError."""
        found = []
        for address, port in places:
            sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            sock.bind((address, port))
            sock.listen(1024)
            sock.setblocking(False)
            self._listeners[sock.fileno()] = sock
            self._epoll.register(sock.fileno(), _READ)
            found.append(sock.getsockname()[:2])
        return found

    def stop(self) -> None:
        """End `run`; from a signal handler or another thread."""
        self._stopped = True
        os.eventfd_write(self._wake, 1)

    def run(self) -> None:
        """Serve. Ends with every connection closed and every layer released."""
        sys.setswitchinterval(0.0005)  # threads that unpack give way to the loop; Python's own choice is 5 ms
        due, clients, poll = time.monotonic() + TICK, self.clients, self._epoll.poll
        try:
            while not self._stopped:
                for fd, event in poll(TICK):
                    if (client := clients.get(fd)) is not None:
                        try:
                            if event != _READ or not client.quick():
                                self._client(client, event)
                        except (WireError, OSError) as error:
                            self._close(client, str(error))
                    elif fd in self._listeners:
                        self._accept(self._listeners[fd])
                    elif fd == self._wake:
                        os.eventfd_read(self._wake)
                        while self._done:
                            self._done.popleft()()
                if time.monotonic() >= due:
                    due = time.monotonic() + TICK
                    self._look()
        finally:
            self._end()

    # -- sockets

    def _accept(self, listener: socket.socket) -> None:
        for _ in range(64):
            try:
                sock, address = listener.accept()
            except BlockingIOError:
                return
            except OSError as error:
                log.warning("a client could not be taken: %s", error)
                return
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for option, value in _KEEPALIVE:
                sock.setsockopt(socket.IPPROTO_TCP, option, value)
            client = Client(sock, address[0], self)
            self.clients[sock.fileno()] = client
            self._events[sock.fileno()] = _READ
            self._epoll.register(sock.fileno(), _READ)
            self._guarded(client, client.out.send)

    def _client(self, client: Client, event: int) -> None:
        if event & _READ and client.hungry:
            self._guarded(client, client.readable)
        elif event & _GONE:
            self._close(client, "gone")
        else:
            self._guarded(client, _nothing)

    def _guarded(self, client: Client, step: Callable[[], object]) -> None:
        """One step of a client, and what follows: sending, waiting for it, closing it."""
        fd = client.sock.fileno()
        if fd < 0:
            return
        try:
            step()
            empty = client.out.send() if client.out else True
        except (WireError, OSError) as error:
            self._close(client, str(error))
            return
        if client.done:
            self._close(client, "")
            return
        wanted = (_READ if client.hungry else 0) | (0 if empty else _WRITE)
        if wanted != self._events[fd]:
            self._events[fd] = wanted
            self._epoll.modify(fd, wanted)

    def _close(self, client: Client, why: str) -> None:
        fd = client.sock.fileno()
        if self.clients.pop(fd, None) is None:
            return
        self._epoll.unregister(fd)
        del self._events[fd]
        client.sock.close()
        transmission = client.transmission
        if transmission is None:
            if why:
                log.info("%s left before it had an export: %s", client.peer, why)
            return
        self._by_transmission.pop(transmission, None)
        transmission.ended = True
        self._boots.left(transmission)
        if transmission.layer is not None:
            self._slow.submit(_release, transmission.layer)
        self.tally.left(client)
        counts = transmission.counts
        self._journal.record_peer(
            client.peer, "nbd.closed", f"left {client.name}" + (f": {why}" if why else ""),
            {"export": client.name, "read": counts.read_bytes, "written": counts.written_bytes,
             "reads": counts.reads, "misses": counts.misses},
        )  # fmt: skip

    # -- what takes time

    def asked(self, client: Client, asked: Asked) -> None:
        """Whether it may have that export: asked in a thread."""

        def work() -> None:
            opened = self._admission.ask(client.peer, asked.name, lambda: self._stopped)
            self._later(lambda: self._decide(client, asked, opened))

        self._slow.submit(work)

    def _decide(self, client: Client, asked: Asked, opened: Opened | Exception) -> None:
        if client.sock.fileno() < 0:
            if isinstance(opened, Opened) and opened.layer is not None:
                self._slow.submit(opened.layer.close)
            return
        if isinstance(opened, Exception):
            self._guarded(client, lambda: self._refuse(client, asked, opened))
        else:
            self._guarded(client, lambda: self._allow(client, asked, opened))

    def _refuse(self, client: Client, asked: Asked, error: Exception) -> None:
        kind, text = Answer.POLICY, "this export is not for you"
        if not isinstance(error, Refused):
            kind, text = Answer.UNKNOWN, "this export cannot be had now; the server's log says why"
        name = asked.name[:200]
        if self._news(client.peer, f"{name}: {error}"):  # it asks again every other second
            log.warning("%s may not have %s: %s", client.peer, name, error)
            self._journal.record_peer(
                client.peer, "nbd.refused", f"may not have {name!r}: {error}", {"export": name}
            )
        client.decided(client.session.refuse(kind, text))

    def _allow(self, client: Client, asked: Asked, opened: Opened) -> None:
        result = client.session.allow(opened.export)
        if client.session.export is None:  # it only asked
            if opened.layer is not None:
                self._slow.submit(opened.layer.close)
        else:
            session = client.session
            transmission = Transmission(
                client.out, self, opened.export, opened.device, opened.layer,
                session.structured, session.allocation,
            )  # fmt: skip
            client.transmission, client.since, client.ref = transmission, time.time(), opened.ref
            self._by_transmission[transmission] = client
            if opened.device is not None and opened.layer is None:
                self._boots.came(opened.device, transmission)
            self._journal.record_peer(client.peer, "nbd.opened", f"has {asked.name}", {"export": asked.name})
        client.decided(result)

    def bring(self, transmission: Transmission, request: Request, block: int, end: int) -> None:
        """In a thread; who wants what comes along with it waits for the same."""
        device = transmission.device
        assert device is not None
        key = device.id, device.key(block)
        if key in self._bringing:
            self._bringing[key].append((transmission, request))
            return
        self._bringing[key] = [(transmission, request)]

        def work() -> None:
            failure: Exception | None = None
            try:
                device.bring(block, end)
            except (ImageError, OSError) as error:
                failure = error
            except Exception as error:  # a bug of ours: the client is told, and the next request is served
                log.exception("block %d of %s", block, device.id[:12])
                failure = error
            self._later(lambda: self._brought(key, failure))

        self._pool.submit(work)

    def _brought(self, key: tuple[str, tuple[int, int]], failure: Exception | None) -> None:
        for transmission, request in self._bringing.pop(key):
            client = self._by_transmission.get(transmission)
            if client is None:
                continue
            if failure is None:
                self._guarded(client, partial(transmission.again, request))
            else:
                self.trouble(transmission, "alarm.image", str(failure))
                self._guarded(client, partial(transmission.failed, request))

    def flush(self, transmission: Transmission, request: Request) -> None:
        """In a thread."""
        layer = transmission.layer
        assert layer is not None

        def work() -> None:
            try:
                layer.flush()
                after = partial(transmission.flushed, request)
            except OSError as error:
                log.error("%s could not be forced to disk: %s", layer.folder, error)
                after = partial(transmission.failed, request, Error.EIO)
            self._later(lambda: self._flushed(transmission, after))

        self._slow.submit(work)

    def _flushed(self, transmission: Transmission, after: Callable[[], None]) -> None:
        if (client := self._by_transmission.get(transmission)) is not None:
            self._guarded(client, after)

    def trouble(self, transmission: Transmission, kind: str, text: str) -> None:
        """Written down once a minute for each client and each text."""
        client = self._by_transmission.get(transmission)
        if client is not None and self._news(client.peer, text):
            log.error("%s: %s: %s", client.peer, client.name, text)
            self._journal.record_peer(client.peer, kind, text, {"export": client.name})

    def _news(self, peer: str, text: str) -> bool:
        now = time.monotonic()
        if now - self._told.get((peer, text), -TELL_AGAIN) < TELL_AGAIN:
            return False
        if len(self._told) < MOST_TOLD:
            self._told[peer, text] = now
        return True

    def _later(self, step: Callable[[], None]) -> None:
        self._done.append(step)
        with suppress(OSError):  # the loop has ended
            os.eventfd_write(self._wake, 1)

    def _look(self) -> None:
        """Once a second."""
        now = time.monotonic()
        self._told = {known: at for known, at in self._told.items() if now - at < TELL_AGAIN}
        for device in self._exports.devices():
            device.tick()
        self._boots.look()
        for client in list(self.clients.values()):
            layer = client.transmission.layer if client.transmission is not None else None
            if layer is not None and layer.superseded:
                self._close(client, "the node has connected anew")
        self.tick()

    def _end(self) -> None:
        for client in list(self.clients.values()):
            self._close(client, "the server ends")
        for sock in self._listeners.values():
            sock.close()
        self._pool.shutdown(cancel_futures=True)
        self._slow.shutdown()
        self._epoll.close()
        os.close(self._wake)


def _nothing() -> None:
    return None


def _release(layer: Layer) -> None:
    """What was written is as good as flushed when a machine goes away in order."""
    try:
        layer.flush()
    except OSError as error:
        log.error("%s could not be forced to disk: %s", layer.folder, error)
    finally:
        layer.close()
