"""What a client sends with its request, taken no slower than others can bear: a thread of the web process, or
memory here, waits for it.

The law: a body of up to SMALL bytes is whole before anybody is bothered with it, and within `patience`
seconds; of a larger one each piece is; who is slower gets 408.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from aiohttp import web
from aiohttp.streams import StreamReader

SMALL = 64 * 1024


async def whole(content: StreamReader, most: int, patience: float) -> bytes:
    """All of it. Raises HTTPRequestEntityTooLarge beyond `most` bytes, HTTPRequestTimeout."""
    body = bytearray()
    try:
        async with asyncio.timeout(patience):
            async for piece in content.iter_any():
                body += piece
                if len(body) > most:
                    raise web.HTTPRequestEntityTooLarge(most, len(body))
    except TimeoutError:
        raise web.HTTPRequestTimeout from None
    return bytes(body)


class Stream:
    """A large one, piece by piece. `late`: it ended because the client was too slow."""

    def __init__(self, content: StreamReader, patience: float) -> None:
        self._content, self._patience = content, patience
        self.late = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            try:
                async with asyncio.timeout(self._patience):
                    piece = await self._content.readany()
            except TimeoutError:
                self.late = True
                raise ConnectionResetError("the client stopped sending") from None
            if not piece:
                return
            yield piece
