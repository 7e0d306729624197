"""Sockets of one download: a UDP socket for TFTP, a TCP connection for HTTP, both from the machine's address.

The decisions are in tftp_client and http_client; this only moves bytes. One buffer serves all connections,
because nobody looks at bodies.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence
from ipaddress import IPv4Address
from typing import cast

from bootsrv.storm.http_client import HttpClient
from bootsrv.storm.tftp_client import TftpClient

_SHARED = memoryview(bytearray(1 << 20))
_HEAD = 16 * 1024  # bytes read at once as long as somebody looks at them
_SO_BINDTODEVICE = 25


class Broken(Exception):
    """The transfer failed; the text says why."""


def _socket(kind: int, interface: str, source: IPv4Address) -> socket.socket:
    sock = socket.socket(socket.AF_INET, kind)
    try:
        sock.setsockopt(socket.SOL_SOCKET, _SO_BINDTODEVICE, interface.encode())
        sock.bind((str(source), 0))
        sock.setblocking(False)
    except OSError:
        sock.close()
        raise
    return sock


class _Tftp(asyncio.DatagramProtocol):
    def __init__(self, client: TftpClient, server: tuple[str, int], dropped: Callable[[], bool]) -> None:
        self._client, self._server, self._dropped = client, server, dropped
        self._tid: int | None = None  # the server's port; RFC 1350 section 4
        self._timer: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.DatagramTransport | None = None
        self.finished: asyncio.Future[None] = self._loop.create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)  # CPython's own is no subclass of it
        self._out(self._client.start(self._loop.time()))

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if addr[0] != self._server[0] or (self._tid is not None and addr[1] != self._tid) or self._dropped():
            return
        self._tid = addr[1]
        self._out(self._client.receive(data, self._loop.time()))

    def error_received(self, exc: Exception) -> None:
        """An ICMP error: firmware does not see those, it waits."""

    def _tick(self) -> None:
        self._timer = None
        self._out(self._client.tick(self._loop.time()))

    def _out(self, datagrams: Sequence[bytes]) -> None:
        port = self._server[1] if self._tid is None else self._tid
        for raw in datagrams:
            if self._transport is not None and not self._dropped():
                self._transport.sendto(raw, (self._server[0], port))
        if self._client.done:
            self.stop()
            if not self.finished.done():
                self.finished.set_result(None)
        elif self._timer is None and self._client.deadline is not None:
            self._timer = self._loop.call_at(self._client.deadline, self._tick)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


async def tftp(
    client: TftpClient, interface: str, source: IPv4Address, server: IPv4Address, port: int,
    dropped: Callable[[], bool],
) -> None:  # fmt: skip
    """Run a download to its end. Raises Broken, or OSError for a socket that cannot be opened."""
    loop = asyncio.get_running_loop()
    sock = _socket(socket.SOCK_DGRAM, interface, source)
    transport, protocol = await loop.create_datagram_endpoint(
        lambda: _Tftp(client, (str(server), port), dropped), sock=sock
    )
    try:
        await protocol.finished
    finally:
        protocol.stop()
        transport.close()
    if client.failed:
        raise Broken(client.failed)


class _Http:
    """One connection. Once nobody looks at the bytes, the kernel throws them away (MSG_TRUNC, tcp(7)): one
    computer can then be many machines that load whole RAM disks."""

    def __init__(self, client: HttpClient, sock: socket.socket) -> None:
        self._client, self._sock = client, sock
        self._loop = asyncio.get_running_loop()
        self.finished: asyncio.Future[None] = self._loop.create_future()

    async def run(self) -> None:
        await self._loop.sock_sendall(self._sock, self._client.request())
        self._loop.add_reader(self._sock, self._readable)
        try:
            await self.finished
        finally:
            self._loop.remove_reader(self._sock)

    def _readable(self) -> None:
        try:
            ended = not self._read()
        except BlockingIOError:
            return
        except OSError:
            ended = True
        if ended:
            self._client.ended()
        if self._client.done and not self.finished.done():
            self.finished.set_result(None)

    def _read(self) -> int:
        if self._client.counts:
            got = self._sock.recv_into(_SHARED, 0, socket.MSG_TRUNC)
            self._client.passed(got)
        else:
            got = self._sock.recv_into(_SHARED, _HEAD)
            self._client.receive(_SHARED[:got])
        return got


async def http(client: HttpClient, interface: str, source: IPv4Address) -> None:
    """Run a download to its end. Raises Broken."""
    with _socket(socket.SOCK_STREAM, interface, source) as sock:
        try:
            await asyncio.get_running_loop().sock_connect(sock, (client.host, client.port))
            await _Http(client, sock).run()
        except OSError as error:
            raise Broken(f"no connection: {error.strerror or error}") from error
    if client.failed:
        raise Broken(client.failed)
