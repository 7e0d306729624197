"""Asks other servers for our clients, and remembers what they said.

Laws: a reply counts only when it comes from the server that was asked, on the port it was asked from (a fresh
one each time), with the same id and the same question, letter for letter; the same question is asked once,
however many wait for it; nothing is remembered longer than its TTL or more than ENTRIES at a time.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pxe.dns.foreign import Foreign, ask, parse_foreign
from pxe.dns.wire import Query
from pxe.errors import WireError

log = logging.getLogger(__name__)

ENTRIES = 10_000
PENDING = 1000  # questions under way; what is beyond is dropped, and asked again by its client
PATIENCE = 1.0  # seconds for one server, once
TOTAL = 4.0  # for all: clients wait 5 seconds, and SERVFAIL tells them more than silence
Key = tuple[tuple[bytes, ...], int, int, bool, bool, bool]


@dataclass(frozen=True, slots=True)
class _Kept:
    reply: Foreign
    at: float


class Forwarder:
    """Forwards to `servers` (address, port), in their order."""

    def __init__(
        self, servers: Sequence[tuple[str, int]], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._servers = tuple(servers)
        self._clock = clock
        self._kept: OrderedDict[Key, _Kept] = OrderedDict()
        self._pending: dict[Key, asyncio.Task[Foreign | None]] = {}

    async def resolve(self, query: Query, tcp: bool) -> bytes | None:
        """The reply to `query` (with the forwarder's id; see `wire.reuse`), or None when no server
        answered."""
        key = (query.labels, query.qtype, query.qclass, *_edns_key(query), query.checking_disabled)
        kept = self._kept.get(key)
        if kept is not None and (age := self._clock() - kept.at) < kept.reply.ttl:
            return kept.reply.aged(int(age))
        task = self._pending.get(key)
        if task is None:
            if len(self._pending) >= PENDING:
                return None
            task = self._pending[key] = asyncio.create_task(self._ask_all(query))
            task.add_done_callback(lambda _: self._pending.pop(key, None))
        reply = await asyncio.shield(task)
        if reply is None:
            return None
        self._keep(key, reply)
        if reply.truncated and tcp:
            whole = await self._try(query, True)
            return whole.raw if whole is not None else None
        return reply.raw

    def _keep(self, key: Key, reply: Foreign) -> None:
        if reply.ttl:
            self._kept[key] = _Kept(reply, self._clock())
            self._kept.move_to_end(key)
            while len(self._kept) > ENTRIES:
                self._kept.popitem(last=False)

    async def _ask_all(self, query: Query) -> Foreign | None:
        try:
            async with asyncio.timeout(TOTAL):
                while self._servers:
                    reply = await self._try(query, False)
                    if reply is not None:
                        return reply
                    await asyncio.sleep(PATIENCE / 4)  # servers that refuse at once are not hammered
        except TimeoutError:
            log.warning("no DNS server answered for %s", query.name)
        return None

    async def _try(self, query: Query, tcp: bool) -> Foreign | None:
        for server in self._servers:
            try:
                async with asyncio.timeout(PATIENCE):
                    return await (_over_tcp if tcp else _over_udp)(server, query)
            except (TimeoutError, OSError, EOFError, WireError) as error:
                log.debug("DNS server %s: %s", server[0], error or "no answer in time")
        return None


def _edns_key(query: Query) -> tuple[bool, bool]:
    return query.edns is not None, query.edns is not None and query.edns.dnssec_ok


class _Listener(asyncio.DatagramProtocol):
    """Waits for the reply to one question; forged ones are ignored."""

    def __init__(self, ident: int, query: Query) -> None:
        self._ident, self._query = ident, query
        self.reply: asyncio.Future[Foreign] = asyncio.get_running_loop().create_future()

    def datagram_received(self, data: bytes, addr: object) -> None:
        """One datagram from the server's address and port (the socket is connected)."""
        try:
            reply = parse_foreign(data, self._ident, self._query)
        except WireError as error:
            log.debug("DNS reply from %s ignored: %s", addr, error)
            return
        if not self.reply.done():
            self.reply.set_result(reply)

    def error_received(self, exc: Exception) -> None:
        """The server's port is closed."""
        if not self.reply.done():
            self.reply.set_exception(exc)


async def _over_udp(server: tuple[str, int], query: Query) -> Foreign:
    ident = secrets.randbelow(65536)
    loop = asyncio.get_running_loop()
    transport, listener = await loop.create_datagram_endpoint(
        lambda: _Listener(ident, query), remote_addr=server
    )
    try:
        transport.sendto(ask(query, ident))
        return await listener.reply
    finally:
        transport.close()


async def _over_tcp(server: tuple[str, int], query: Query) -> Foreign:
    ident = secrets.randbelow(65536)
    reader, writer = await asyncio.open_connection(*server)
    try:
        message = ask(query, ident)
        writer.write(len(message).to_bytes(2, "big") + message)
        size = int.from_bytes(await reader.readexactly(2), "big")
        return parse_foreign(await reader.readexactly(size), ident, query)
    finally:
        writer.close()
