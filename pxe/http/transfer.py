"""Sends files: headers by aiohttp, the body by the kernel (sendfile), straight from the page cache to the
socket.

The law: a file costs a file descriptor and a coroutine, never a thread and never a copy in our memory, so
that a thousand machines may fetch at once. What was promised in Content-Length is sent, or the connection is
cut.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import BinaryIO

from aiohttp import web

from pxe.catalogue import Entry
from pxe.http.ranges import Part, select

log = logging.getLogger(__name__)

_SLICE = 16 << 20  # bytes given to the kernel at once; the next slice is read ahead meanwhile


async def send(
    request: web.BaseRequest,
    entry: Entry,
    type: str,
    extra: Mapping[str, str] | None = None,
    sent: Callable[[int], None] | None = None,
) -> web.StreamResponse:
    """Answer a GET or HEAD with an entry. `sent` is told how many body bytes went out, also when cut short.

    Raises FileNotFoundError when the file is gone, ConnectionError when the client went away.
    """
    headers = {name.lower(): value for name, value in request.headers.items()}
    part = select(request.method, headers, entry.size, entry.etag, entry.mtime)
    response = web.StreamResponse(status=part.status, headers={**part.headers, **(extra or {})})
    if part.status in (200, 206):
        response.content_length = part.length
        response.headers["Content-Type"] = type
    elif part.status != 304:
        response.content_length = 0
    if not part.body or part.length == 0:
        await response.prepare(request)
    elif entry.data is not None:
        await response.prepare(request)
        await response.write(entry.data[part.start : part.start + part.length])
        if sent:
            sent(part.length)
    else:
        with os.fdopen(entry.open(), "rb", buffering=0) as file:
            await _send_file(request, response, file, part, sent)
    await response.write_eof()
    return response


async def _send_file(
    request: web.BaseRequest,
    response: web.StreamResponse,
    file: BinaryIO,
    part: Part,
    sent: Callable[[int], None] | None,
) -> None:
    transport = request.transport
    if transport is None:
        raise ConnectionResetError("the client went away")
    loop = asyncio.get_running_loop()
    position, end = part.start, part.start + part.length
    _cork(transport, True)
    await response.prepare(request)
    try:
        position += _at_once(transport, file, position, end - position)
        while position < end:
            count = min(_SLICE, end - position)
            if position + count < end:
                # Starts reading without waiting: a cold disk then delays this client, not the whole loop.
                with suppress(OSError):
                    os.posix_fadvise(file.fileno(), position + count, _SLICE, os.POSIX_FADV_WILLNEED)
            done = await loop.sendfile(transport, file, position, count)
            position += done
            if done < count:
                raise OSError(errno.EIO, "the file became shorter while it was sent")
    except (OSError, asyncio.CancelledError) as error:
        position = max(position, min(end, file.tell()))
        if isinstance(error, OSError) and not isinstance(error, ConnectionError):
            log.error("reading %s failed after %d bytes: %s", request.path, position - part.start, error)
        transport.abort()  # headers are out: an unfinished body is all that can tell the client
        raise
    finally:
        _cork(transport, False)
        if sent:
            sent(position - part.start)


def _at_once(transport: asyncio.Transport, file: BinaryIO, position: int, count: int) -> int:
    """What the socket takes without waiting. Saves the loop's machinery, which costs more than a small
    part."""
    if transport.get_write_buffer_size():
        return 0
    try:
        return os.sendfile(transport.get_extra_info("socket").fileno(), file.fileno(), position, count)
    except BlockingIOError:
        return 0


def _cork(transport: asyncio.Transport, on: bool) -> None:
    """Headers and the first bytes of the file leave in one packet (TCP only; a closed socket has no say)."""
    sock = transport.get_extra_info("socket")
    if sock is not None and sock.family != socket.AF_UNIX:
        with suppress(OSError):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, on)
