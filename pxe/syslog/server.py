"""Syslog sockets: UDP (RFC 5426) and TCP (RFC 6587), on named interfaces only.

Debian's installer sends datagrams, Anaconda's rsyslog a stream. The law: who is not welcome is not read
further than its first message, and nothing a peer sends makes us keep more than one unfinished line of it.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import Callable, Sequence

from pxe.errors import WireError
from pxe.sockets import Listen, bind
from pxe.syslog.allowance import Allowance
from pxe.syslog.ports import LogKeeper
from pxe.syslog.wire import LONGEST, parse, split

log = logging.getLogger(__name__)
MOST_STREAMS, MOST_OF_ONE = 2000, 8
IDLE_SECONDS = 3600.0
FREE_NUMBERS = 20  # tried where any port will do
MOST_AT_ONCE = 200  # datagrams read before other work has its turn


class SyslogServer:
    """`await start()`, then `await close()`, on one running event loop."""

    def __init__(self, keeper: LogKeeper, clock: Callable[[], float] = time.monotonic) -> None:
        self._keeper, self._clock = keeper, clock
        self._allowance = Allowance()
        self._datagrams: list[socket.socket] = []
        self._streams: list[asyncio.Server] = []
        self._open: dict[asyncio.StreamWriter, str] = {}
        self.refused = self.bad = self.dropped = 0
        self.bound: list[int] = []

    async def start(self, listens: Sequence[Listen]) -> None:
        """Listen; port 0 takes a free one. Raises OSError; then nothing listens."""
        loop = asyncio.get_running_loop()
        try:
            for listen in listens:
                datagrams, stream, port = _both(listen)
                self._datagrams.append(datagrams)
                server = await asyncio.start_server(self._stream, sock=stream, limit=LONGEST * 2)
                self._streams.append(server)
                loop.add_reader(datagrams.fileno(), self._read, datagrams)
                self.bound.append(port)
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Stop listening."""
        loop = asyncio.get_running_loop()
        for datagrams in self._datagrams:
            loop.remove_reader(datagrams.fileno())
            datagrams.close()
        for server in self._streams:
            server.close()
        for writer in list(self._open):
            writer.close()
        self._datagrams, self._streams = [], []

    def _read(self, datagrams: socket.socket) -> None:
        for _ in range(MOST_AT_ONCE):
            try:
                data, address = datagrams.recvfrom(LONGEST + 1)
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                log.warning("syslog: %s", error)
                return
            self._take(address[0], data)

    def _take(self, peer: str, data: bytes) -> bool:
        if not self._keeper.welcome(peer):
            self.refused += 1
            return False
        if not self._allowance.take(peer, self._clock()):
            self.dropped += 1
            return True
        try:
            message = parse(data.rstrip(b"\n\0"))
        except WireError:
            self.bad += 1
            return True
        self._keeper.keep(peer, message)
        return True

    async def _stream(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = str(writer.get_extra_info("peername")[0])
        full = len(self._open) >= MOST_STREAMS or list(self._open.values()).count(peer) >= MOST_OF_ONE
        if full or not self._keeper.welcome(peer):
            self.refused += 1
            writer.transport.abort()
            return
        self._open[writer] = peer
        try:
            await self._frames(peer, reader)
        except (WireError, ConnectionError, TimeoutError):
            self.bad += 1
        finally:
            del self._open[writer]
            writer.close()

    async def _frames(self, peer: str, reader: asyncio.StreamReader) -> None:
        buffer = b""
        while data := await asyncio.wait_for(reader.read(LONGEST), IDLE_SECONDS):
            frames, buffer = split(buffer + data)
            for frame in frames:
                if not self._take(peer, frame):
                    return
            await asyncio.sleep(0)
        if buffer:
            self._take(peer, buffer)


def _both(listen: Listen, tries: int = FREE_NUMBERS) -> tuple[socket.socket, socket.socket, int]:
    """UDP and TCP sockets of one number, and that number. Raises OSError."""
    datagrams = bind(listen, socket.SOCK_DGRAM)
    port = datagrams.getsockname()[1]
    try:
        return datagrams, bind(listen, socket.SOCK_STREAM, None, port), port
    except OSError:
        datagrams.close()
        if listen.port or tries <= 1:
            raise
        return _both(listen, tries - 1)  # a free number of UDP may be taken in TCP: then another
