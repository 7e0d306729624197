"""DNS sockets, UDP and TCP; answers of our own zones are kept as bytes until the registry changes.

Laws: a question is answered at most once, and never with more than it may be over its transport; a response
is never answered (two servers would talk for ever); a TCP client that says nothing is let go, and one address
never has all connections; what waits for other servers is bounded.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections import Counter
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

from pxe.dns import wire
from pxe.dns.forward import Forwarder
from pxe.dns.ports import Names
from pxe.dns.resolver import Forward, Resolver
from pxe.dns.wire import Answer, FormatError, Query
from pxe.dns.zone import Zones
from pxe.errors import WireError
from pxe.sockets import Control, Listen, bind, destination, plain_address, source, want_destination

__all__ = ["DnsServer", "Listen", "Zones"]

log = logging.getLogger(__name__)
_AT_ONCE = 64
_KEPT = 50_000  # answers
_BUFFER = 1 << 20
_TCP_IDLE = 10.0  # seconds
_TCP_MOST, _TCP_PER_SOURCE = 256, 32  # connections: of all, and of one address
_STRANGERS = 512  # bytes to others than our networks over UDP: who forges their address gains little
_WAITING_MOST = 4000  # questions over UDP that wait for other servers; those beyond are dropped
_TRIES = 20  # ports, when any will do


@dataclass(slots=True)
class _Socket:
    sock: socket.socket
    wildcard: bool


def _bind_both(place: Listen) -> tuple[socket.socket, socket.socket]:
    """UDP and TCP on one port. For port 0 the kernel picks one that is free for UDP; when some TCP connection
    has it, another is tried."""
    tries = 1
    while True:
        udp = bind(place, socket.SOCK_DGRAM)
        try:
            return udp, bind(place, socket.SOCK_STREAM, port=udp.getsockname()[1])
        except OSError as error:
            udp.close()
            if place.port or error.errno != errno.EADDRINUSE or tries == _TRIES:
                raise
            tries += 1


class DnsServer:
    """Answers for `zones` from `names`; forwards to `servers` (address, port) for the zones' networks; none:
    refuses.

    `await start()`, then `await close()`, on one running event loop.
    """

    def __init__(self, zones: Zones, names: Names, servers: Sequence[tuple[str, int]] = ()) -> None:
        self._names = names
        self._resolver = Resolver(zones, names, bool(servers))
        self._forwarder = Forwarder(servers)
        self._revision = -1
        self._kept: dict[tuple[Any, ...], bytes] = {}
        self._udp: list[_Socket] = []
        self._tcp: list[asyncio.Server] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._connections: Counter[str] = Counter()  # by IP address
        self._waiting = 0
        self.bound: list[tuple[str, int]] = []
        self.counts: Counter[str] = Counter()

    async def start(self, places: Sequence[Listen]) -> None:
        """Open UDP and TCP on each place; OSError, with the address in its text, when one cannot be
        opened."""
        for place in places:
            try:
                await self._open(place)
            except OSError as error:
                await self.close()
                text = f"DNS on {place.address} port {place.port}: {error.strerror}"
                raise OSError(error.errno, text) from error

    async def _open(self, place: Listen) -> None:
        udp, tcp = _bind_both(place)
        here = _Socket(udp, place.wildcard)
        self._udp.append(here)
        udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
        if here.wildcard:
            want_destination(udp)
        port = udp.getsockname()[1]
        self._tcp.append(await asyncio.start_server(self._connected, sock=tcp))
        asyncio.get_running_loop().add_reader(udp.fileno(), self._readable, here)
        self.bound.append((place.address, port))

    async def close(self) -> None:
        """Stop; questions under way are dropped."""
        for here in self._udp:
            asyncio.get_running_loop().remove_reader(here.sock.fileno())
            here.sock.close()
        for server in self._tcp:
            server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._udp, self._tcp, self.bound = [], [], []

    def _readable(self, here: _Socket) -> None:
        for _ in range(_AT_ONCE):
            try:
                raw, control, _, peer = here.sock.recvmsg(4096, 256)
            except BlockingIOError:
                return
            except OSError as error:
                log.debug("DNS: %s", error)  # an ICMP error of an earlier reply; the socket is fine
                continue
            local = destination(control) if here.wildcard else ""
            if local is not None and peer[1]:
                self._asked(here, raw, peer, source(local) if local else [])

    def _asked(self, here: _Socket, raw: bytes, peer: tuple[Any, ...], control: Control) -> None:
        try:
            reply = self._reply(raw, plain_address(peer), tcp=False)
        except Exception:
            log.exception("DNS question of %s failed", peer[0])
            return
        if isinstance(reply, Query):
            if self._waiting < _WAITING_MOST:
                self._waiting += 1
                self._spawn(self._forward_udp(here, reply, peer, control))
            else:
                self.counts["dropped"] += 1
        elif reply is not None:
            self._send(here, reply, peer, control)

    def _send(self, here: _Socket, reply: bytes, peer: tuple[Any, ...], control: Control) -> None:
        try:
            here.sock.sendmsg([reply], control, 0, peer)
        except OSError as error:
            log.debug("DNS reply to %s: %s", peer[0], error)  # lost, like any datagram; it is asked again

    def _reply(self, raw: bytes, peer: str, tcp: bool) -> bytes | Query | None:
        """The reply; a Query that must be forwarded; or None: say nothing."""
        try:
            query = wire.parse(raw)
        except FormatError as error:
            self.counts["malformed"] += 1
            return error.reply
        except WireError:
            self.counts["malformed"] += 1
            return None
        self.counts["queries"] += 1
        return self._own(query, peer, tcp)

    def _own(self, query: Query, peer: str, tcp: bool) -> bytes | Query:
        revision = self._names.revision()
        if revision != self._revision or len(self._kept) > _KEPT:
            self._kept.clear()
            self._revision = revision
        near = self._resolver.near(peer)
        room = query.room(tcp) if near or tcp else min(query.room(tcp), _STRANGERS)
        key = (query.labels, query.qtype, query.qclass, query.opcode, query.edns, room, near)
        kept = self._kept.get(key)
        if kept is not None:
            return wire.reuse(kept, query)
        answer = self._resolver.resolve(query, peer)
        if isinstance(answer, Forward):
            return query
        reply = wire.build(query, answer, room)
        if answer.authoritative:
            self._kept[key] = reply
        return reply

    async def _forwarded(self, query: Query, tcp: bool) -> bytes:
        self.counts["forwarded"] += 1
        raw = await self._forwarder.resolve(query, tcp)
        if raw is not None and len(raw) <= query.room(tcp):
            return wire.reuse(raw, query)
        if raw is not None:
            return wire.truncated(query)
        return wire.build(query, Answer(wire.SERVFAIL, recursion_available=True), query.room(tcp))

    async def _forward_udp(
        self, here: _Socket, query: Query, peer: tuple[Any, ...], control: Control
    ) -> None:
        try:
            reply = await self._forwarded(query, tcp=False)
        finally:
            self._waiting -= 1
        self._send(here, reply, peer, control)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One TCP client: questions one after another (RFC 7766)."""
        peer = plain_address(writer.get_extra_info("peername"))
        if self._connections.total() >= _TCP_MOST or self._connections[peer] >= _TCP_PER_SOURCE:
            writer.close()
            return
        self._connections[peer] += 1
        task = asyncio.current_task()
        if task is not None:
            self._tasks.add(task)
        try:
            await self._converse(reader, writer, peer)
        except (TimeoutError, ConnectionError, asyncio.IncompleteReadError):
            log.debug("DNS over TCP: the client left")
        finally:
            self._connections[peer] -= 1
            if not self._connections[peer]:
                del self._connections[peer]
            if task is not None:
                self._tasks.discard(task)
            writer.close()

    async def _converse(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, peer: str
    ) -> None:
        while True:
            async with asyncio.timeout(_TCP_IDLE):
                size = int.from_bytes(await reader.readexactly(2), "big")
                raw = await reader.readexactly(size)
            reply = self._reply(raw, peer, tcp=True)
            if isinstance(reply, Query):
                reply = await self._forwarded(reply, tcp=True)
            if reply is None:
                return
            writer.write(len(reply).to_bytes(2, "big") + reply)
            async with asyncio.timeout(_TCP_IDLE):
                await writer.drain()

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
