"""A small HTTP/1.1 server (RFC 9112) for calls with large bodies that our own forwarder hands on: a body goes
straight from the socket into one buffer.

A complete parser gives a body in pieces, to be put together: that takes four times the work. The law: what is
taken is a call by the strictest reading, with one Content-Length or none, and one at a time on a connection;
anything else is refused and ends the connection. A body is kept when it is asked for; one that is not goes
nowhere. Whoever can connect here is one of us: how long a connection may be idle is not this server's to say.
"""

from __future__ import annotations

import asyncio
import logging
import re
import socket
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

from pxe.http.ports import Reply

log = logging.getLogger(__name__)
LONGEST = 64 << 10  # bytes of a head
LINGER = 10.0  # seconds for the rest of a body that nobody wants: who is cut off would not read the answer
_FIELD = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]++:[\t\x20-\x7e\x80-\xff]*+\r\n"
_HEAD = re.compile(rb"([A-Z]{1,20}) (/[\x21-\x7e]*+) HTTP/1\.1\r\n((?:" + _FIELD + rb")*+)\r\n")
_LENGTH = re.compile(r"[0-9]{1,15}")
_MORE = frozenset({"expect", "upgrade"})
_ENDS = (ConnectionError, asyncio.CancelledError)


@dataclass(frozen=True, slots=True)
class Call:
    """The head of a call: `target` as it was sent, `headers` by names in lower case, `length` of its body."""

    method: str
    target: str
    headers: Mapping[str, str]
    length: int


Read = Callable[[], Awaitable[bytearray]]  # the whole body, once
Handler = Callable[[Call, Read], Awaitable[Reply]]


def parse(raw: bytes) -> Call | Reply:
    """A head, up to and with its empty line; or why it is refused."""
    found = _HEAD.fullmatch(raw)
    if found is None:
        return Reply(400, b"no plain call\n", "text/plain")
    lines = found[3].decode("latin-1").split("\r\n")[:-1]
    parts = [line.partition(":") for line in lines]
    fields = [(name.lower(), value.strip(" \t")) for name, _, value in parts]
    headers = dict(fields)
    if "transfer-encoding" in headers:
        return Reply(411, b"say how long the body is\n", "text/plain")
    lengths = [value for name, value in fields if name == "content-length"] or ["0"]
    length = lengths[0]
    if len(lengths) > 1 or not _LENGTH.fullmatch(length) or not _MORE.isdisjoint(headers):
        return Reply(400, b"no plain call\n", "text/plain")
    return Call(found[1].decode(), found[2].decode(), headers, int(length))


class Server:
    """`listen`, then `await close()`, on one running event loop."""

    def __init__(self, handler: Handler) -> None:
        self.handler = handler
        self.connections: set[_Connection] = set()
        self.closing = False
        self._servers: list[asyncio.Server] = []

    async def listen(self, where: Path | socket.socket) -> None:
        """Accept there: a Unix socket to be made, or one that is bound. Raises OSError."""
        loop = asyncio.get_running_loop()
        if isinstance(where, Path):
            made = await loop.create_unix_server(lambda: _Connection(self), where)
        else:
            made = await loop.create_server(lambda: _Connection(self), sock=where)
        self._servers.append(made)

    async def close(self, farewell: float = 2.0) -> None:
        """No more calls; those under way have so many seconds to end."""
        self.closing = True
        for server in self._servers:
            server.close()
        tasks = [one.task for one in self.connections if one.task is not None]
        if tasks:
            await asyncio.wait(tasks, timeout=farewell)
        for connection in list(self.connections):
            connection.drop()


class _Connection(asyncio.BufferedProtocol):
    """One client's connection: heads come into one buffer, each body into its own."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._head, self._end = bytearray(LONGEST), 0
        self._body: memoryview | None = None  # of which the first `_at` bytes are there
        self._at = 0
        self._whole: asyncio.Future[None] | None = None
        self._unwanted = 0  # bytes of a body that go nowhere; then the connection ends
        self.task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._server.connections.add(self)
        if self._server.closing:  # it was accepted just before
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._server.connections.discard(self)
        if self._whole is not None and not self._whole.done():
            self._whole.set_exception(ConnectionResetError("the sender is gone"))

    def drop(self) -> None:
        """Cut it off."""
        if self.task is not None:
            self.task.cancel()
        self._transport.abort()

    def get_buffer(self, sizehint: int) -> memoryview:
        if self._unwanted:
            return memoryview(self._head)
        return memoryview(self._head)[self._end :] if self._body is None else self._body[self._at :]

    def buffer_updated(self, nbytes: int) -> None:
        if self._unwanted:
            self._unwanted = max(0, self._unwanted - nbytes)
            if not self._unwanted:
                self._transport.close()
        elif self._body is None:
            self._end += nbytes
            self._look()
        else:
            self._at += nbytes
            if self._at == len(self._body):
                self._transport.pause_reading()
                if self._whole is not None and not self._whole.done():
                    self._whole.set_result(None)

    def _look(self) -> None:
        """Begin a call when its head is there."""
        at = self._head.find(b"\r\n\r\n", 0, self._end)
        if at < 0:
            if self._end == LONGEST:
                self._answer(Reply(431, b"too many headers\n", "text/plain"), False)
            return
        call = parse(self._cut(at + 4))
        if isinstance(call, Reply):
            self._answer(call, False)
            return
        self._transport.pause_reading()
        self.task = asyncio.get_running_loop().create_task(self._serve(call))

    def _cut(self, size: int) -> bytes:
        """The first bytes of those that came, which are then gone."""
        first = bytes(self._head[:size])
        self._head[: self._end - size] = self._head[size : self._end]
        self._end -= size
        return first

    async def _serve(self, call: Call) -> None:
        left = call.length

        async def read() -> bytearray:
            nonlocal left
            body = await self._read(call.length)
            left = 0
            return body

        try:
            reply = await self._server.handler(call, read)
        except _ENDS:
            self._transport.abort()
            return
        except Exception:
            log.exception("%s %s failed", call.method, call.target.partition("?")[0])
            reply = Reply(500, b"the server failed; its log says why\n", "text/plain")
        self.task = None
        self._unwanted = max(0, left - self._end)
        keep = not left and call.headers.get("connection", "").lower() != "close"
        self._answer(reply, keep)
        if self._transport.is_closing():
            return
        self._transport.resume_reading()
        if self._unwanted:
            asyncio.get_running_loop().call_later(LINGER, self._transport.abort)
        else:
            self._look()

    async def _read(self, length: int) -> bytearray:
        body = bytearray(length)
        self._at = min(length, self._end)
        body[: self._at] = self._cut(self._at)
        if self._at < length:
            self._body, self._whole = memoryview(body), asyncio.get_running_loop().create_future()
            self._transport.resume_reading()
            try:
                await self._whole
            finally:
                self._transport.pause_reading()
                self._body = self._whole = None
        return body

    def _answer(self, reply: Reply, keep: bool) -> None:
        if self._transport.is_closing():
            return
        lines = [f"HTTP/1.1 {reply.status} {HTTPStatus(reply.status).phrase}"]
        lines += [f"{name}: {value}" for name, value in reply.headers.items()]
        lines += [f"Content-Type: {reply.type}", f"Content-Length: {len(reply.body)}"]
        lines += [] if keep else ["Connection: close"]
        self._transport.write("\r\n".join([*lines, "", ""]).encode("latin-1") + reply.body)
        if not keep and not self._unwanted:
            self._transport.close()
