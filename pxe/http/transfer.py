"""Sends files: headers by aiohttp, the body by the kernel (sendfile), straight from the page cache to the
socket.

The law: a file costs a file descriptor and a coroutine, never a thread and never a copy in our memory, so
that a thousand machines may fetch at once. (HTTPS has to copy: the kernel cannot seal for us.) Headers leave
in a packet of their own: to join them with the body (TCP_CORK) costs a third of a small request's time. What
was promised in Content-Length is sent, or the connection is cut.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Mapping
from typing import BinaryIO

from aiohttp import web

from pxe.catalogue import Entry
from pxe.http.outflow import Outflow
from pxe.http.ranges import Part, select

log = logging.getLogger(__name__)
PIECE = 256 << 10  # bytes


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
    if transport.get_extra_info("sslcontext") is not None:
        await _send_sealed(request, response, file, part, sent)
        return
    flow = Outflow(transport, file.fileno(), part.start, part.start + part.length)
    try:
        await response.prepare(request)
        if transport.get_write_buffer_size():  # the answer before this one is still under way
            loop = asyncio.get_running_loop()
            flow.position += await loop.sendfile(transport, file, flow.position, 1)
        if flow.position < part.start + part.length:
            await flow.run()
    except (OSError, asyncio.CancelledError) as error:
        if isinstance(error, OSError) and not isinstance(error, ConnectionError):
            gone = flow.position - part.start
            log.error("reading %s failed after %d bytes: %s", request.path, gone, error)
        transport.abort()  # headers are out: an unfinished body is all that can tell the client
        raise
    finally:
        if sent:
            sent(flow.position - part.start)


async def _send_sealed(
    request: web.BaseRequest,
    response: web.StreamResponse,
    file: BinaryIO,
    part: Part,
    sent: Callable[[int], None] | None,
) -> None:
    """The same over HTTPS, piece by piece: each is sealed before the next is read."""
    place, end = part.start, part.start + part.length
    await response.prepare(request)
    try:
        while place < end:
            piece = os.pread(file.fileno(), min(PIECE, end - place), place)
            if not piece:
                raise OSError(f"{request.path} ends at {place}")
            await response.write(piece)
            place += len(piece)
    except (OSError, asyncio.CancelledError) as error:
        if isinstance(error, OSError) and not isinstance(error, ConnectionError):
            log.error("reading %s failed after %d bytes: %s", request.path, place - part.start, error)
        if request.transport is not None:
            request.transport.abort()
        raise
    finally:
        if sent:
            sent(place - part.start)
