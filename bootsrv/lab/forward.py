"""A door from the host into the lab: 127.0.0.1:PORT on the host to the service's Unix socket.

A Unix socket is reached by its path, whatever network namespace it was made in; so a browser on the host sees
the page while no packet leaves the lab.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from pathlib import Path

from bootsrv.lab.errors import LabError

CHUNK = 65536


class Forwarder:
    """Forwards until `close`; runs in a thread of its own. `port` 0 takes any free port."""

    def __init__(self, target: Path, port: int = 0, address: str = "127.0.0.1") -> None:
        self._target = target
        self._loop = asyncio.new_event_loop()
        try:
            self._server = self._loop.run_until_complete(asyncio.start_server(self._serve, address, port))
        except OSError as error:
            self._loop.close()
            raise LabError(f"cannot listen on {address}:{port}: {error.strerror or error}") from error
        self.port: int = self._server.sockets[0].getsockname()[1]
        self._thread = threading.Thread(target=self._loop.run_forever, name="lab-forwarder", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop listening and cut what is open."""
        if self._loop.is_closed():
            return
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(timeout=5)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=5)
        self._loop.close()

    async def _end(self) -> None:
        self._server.close()
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            inside_reader, inside_writer = await asyncio.open_unix_connection(str(self._target))
        except OSError:
            # The service is being restarted: an honest answer instead of a dropped connection.
            writer.write(
                b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
            )
            await _finish(writer)
            return
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(_pump(reader, inside_writer))
                both.create_task(_pump(inside_reader, writer))
        finally:
            await _finish(inside_writer)
            await _finish(writer)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Copy one direction to its end; a peer that went away ends it quietly."""
    with contextlib.suppress(ConnectionError, BrokenPipeError):
        while data := await reader.read(CHUNK):
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()


async def _finish(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(ConnectionError, BrokenPipeError):
        await writer.wait_closed()
