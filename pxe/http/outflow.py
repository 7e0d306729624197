"""A file's way into a socket by sendfile(2), as fast as the client takes it. Linux.

asyncio's own sendfile costs several system calls and turns of the loop for each part of a file; here the loop
calls back when there is room, and nothing else happens until all is sent.
The law: the descriptor that is watched is closed again, whatever ends the transfer.
"""

from __future__ import annotations

import asyncio
import errno
import os
from contextlib import suppress

_SLICE = 16 << 20  # bytes given to the kernel at once; the next slice is read ahead meanwhile


class Outflow:
    """Bytes `start` to `end` of an open file. `position` tells how far it came, also after an error."""

    def __init__(self, transport: asyncio.Transport, file: int, start: int, end: int) -> None:
        self._transport, self._file, self._end = transport, file, end
        self._sock: int = transport.get_extra_info("socket").fileno()
        self._done: asyncio.Future[None] | None = None
        self.position = start

    async def run(self) -> None:
        """Send. Raises OSError: the client went away, the file became shorter, the disk failed."""
        if not self._some():
            return
        reading = self._transport.is_reading()
        self._transport.pause_reading()  # what the client asks meanwhile waits in its socket, not in memory
        loop = asyncio.get_running_loop()
        self._done = loop.create_future()
        watched = os.dup(self._sock)  # a transport's own descriptor is not ours to watch
        try:
            loop.add_writer(watched, self._room, self._done)
            await self._done
        finally:
            loop.remove_writer(watched)
            os.close(watched)
            if reading and not self._transport.is_closing():
                self._transport.resume_reading()

    def _room(self, done: asyncio.Future[None]) -> None:
        """The socket takes more."""
        try:
            more = self._some()
        except OSError as error:
            if not done.done():
                done.set_exception(error)
            return
        if not more and not done.done():
            done.set_result(None)

    def _some(self) -> bool:
        """Send what the socket takes without waiting; whether there is more to send."""
        if self._transport.is_closing():
            raise ConnectionResetError(errno.ECONNRESET, "the client went away")
        count = min(_SLICE, self._end - self.position)
        try:
            sent = os.sendfile(self._sock, self._file, self.position, count)
        except BlockingIOError:
            return True
        if not sent:
            raise OSError(errno.EIO, "the file became shorter while it was sent")
        self.position += sent
        if self.position < self._end and sent == count:
            # Starts reading without waiting: a cold disk then delays this client, not the whole loop.
            with suppress(OSError):
                os.posix_fadvise(self._file, self.position + _SLICE, _SLICE, os.POSIX_FADV_WILLNEED)
        return self.position < self._end
