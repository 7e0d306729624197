"""Answers requests for files of archives: from the cache, or from a transfer that everybody shares.

Packages are answered from the cache without asking anybody. Indexes are asked after again, by one request
however many clients wait; where no server answers, the last one we had is given, and said to be old. What
cannot be had is 404 when its archive says so and 502 with the reason otherwise.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from typing import Protocol

import aiohttp
from aiohttp import web

from pxe.catalogue import Entry
from pxe.http.ranges import select
from pxe.http.transfer import send
from pxe.mirror import kinds
from pxe.mirror.cache import Cache, Cached
from pxe.mirror.fetcher import AGENT, Fetcher, Wish
from pxe.mirror.flight import Archive, Flight, Outcome
from pxe.mirror.sums import Sums

log = logging.getLogger(__name__)
PREFIX = "/mirror/"
FRESH_SECONDS = 5.0  # so long an index is right without asking: a rack that starts at once asks once
_WEAK_SECONDS = 60.0
_PIECE = 256 * 1024
_STALE = {"Warning": f'110 {AGENT} "Response is Stale"'}
_HEADERS = {"Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff"}


class Journal(Protocol):
    """Where trouble is written down."""

    def trouble(self, mirror: str, text: str) -> None:
        """An archive does not answer as it should. Must not block."""


class MirrorServer:
    """`await start()`, then `handle` for each request, then `await close()`. `cache` must not be shared."""

    def __init__(
        self,
        archives: Mapping[str, Archive],
        cache: Cache,
        journal: Journal,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._archives, self._cache, self._journal, self._clock = archives, cache, journal, clock
        self._fetcher = Fetcher()
        self._sums = Sums(cache.entries(), cache.file)
        self._flights: dict[tuple[str, str], tuple[Flight, asyncio.Task[None]]] = {}

    async def start(self) -> None:
        await self._fetcher.start()

    async def close(self) -> None:
        tasks = [task for _, task in self._flights.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._fetcher.close()

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """One request."""
        try:
            return await self._answer(request)
        except ConnectionError:
            if request.transport is not None:
                request.transport.abort()
            return web.Response(status=499)

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        name, _, rest = request.raw_path.removeprefix(PREFIX).partition("/")
        archive, path = self._archives.get(name), kinds.clean(rest)
        if archive is None or path is None or not request.raw_path.startswith(PREFIX):
            return _line(404, f"there is no archive {name[:60]!r} here, or no such name in one")
        if request.method not in ("GET", "HEAD"):
            return _line(405, f"{request.method} is not possible here", {"Allow": "GET, HEAD"})
        if AGENT in request.headers.get("Via", ""):
            return _line(508, f"the archive {name} points at this server itself")
        cached = self._cache.get(name, path)
        if cached is not None and (
            kinds.named(path).immutable or self._clock() - cached.checked < FRESH_SECONDS
        ):
            return await self._send(request, cached)
        flight = self._join(archive, path, cached)
        while flight.outcome is Outcome.WAITING:
            await flight.change()
        return await self._landed(request, flight)

    async def _landed(self, request: web.BaseRequest, flight: Flight) -> web.StreamResponse:
        """The answer once a server has answered, or none has."""
        name, path = flight.archive.name, flight.path
        match flight.outcome:
            case Outcome.COMING:
                return await self._stream(request, flight)
            case Outcome.NO_ROOM:
                return await self._pass(request, flight)
            case Outcome.MISSING:
                return _line(404, f"the archive {name} has no {path}")
        cached = self._cache.get(name, path)
        if flight.outcome is Outcome.FAILED:
            self._journal.trouble(name, f"{path}: {flight.error}")
            if cached is None:
                return _line(502, f"the archive {name} could not be asked for {path}: {flight.error}")
            return await self._send(request, cached, _STALE)
        if cached is None:  # it had to make room in this moment
            return _line(503, "ask again", {"Retry-After": "1"})
        return await self._send(request, cached)

    def _join(self, archive: Archive, path: str, cached: Cached | None) -> Flight:
        """The transfer of this file that is under way, or a new one."""
        key = (archive.name, path)
        if key in self._flights:
            return self._flights[key][0]
        flight = Flight(archive, path, self._cache.part())
        task = asyncio.create_task(self._fly(flight, cached))
        self._flights[key] = (flight, task)
        return flight

    async def _fly(self, flight: Flight, cached: Cached | None) -> None:
        name, path = flight.archive.name, flight.path
        said = kinds.named(path)
        known = await self._sums.find(name, path) if said.immutable and not said.sha256 else None
        wish = Wish(
            etag=cached.etag if cached else "",
            modified=cached.modified if cached and _strong(cached) else "",
            known=known,
            sha256=said.sha256,
            fits=self._cache.fits,
        )
        try:
            if await self._fetcher.fly(flight, wish):
                now = self._clock()
                made = Cached(name, path, flight.sha256, flight.have, flight.etag, flight.modified, now, now)
                self._cache.keep(flight.part, made)
                self._sums.learn(made)
                flight.tell(Outcome.DONE)
            elif flight.outcome is Outcome.SAME and cached is not None:
                self._cache.confirm(cached, self._clock())
        except OSError as error:
            log.exception("%s could not be kept", path)
            flight.error = f"this server's own disk: {error.strerror}"
            flight.tell(Outcome.FAILED)
        except asyncio.CancelledError:
            flight.error = "this server is ending"
            flight.tell(Outcome.FAILED)
            raise
        finally:
            flight.part.unlink(missing_ok=True)
            del self._flights[name, path]

    async def _send(
        self, request: web.BaseRequest, cached: Cached, extra: Mapping[str, str] | None = None
    ) -> web.StreamResponse:
        entry = Entry(cached.size, seconds_of(cached.modified), cached.sha256[:32], self._cache.file(cached))
        return await send(request, entry, "application/octet-stream", {**_HEADERS, **(extra or {})})

    async def _stream(self, request: web.BaseRequest, flight: Flight) -> web.StreamResponse:
        """Pass bytes on as they come. No await before the part file is open: until then it is there."""
        file = os.open(flight.part, os.O_RDONLY | os.O_CLOEXEC)
        try:
            headers = {name.lower(): value for name, value in request.headers.items()}
            headers.pop("if-none-match", None)  # we do not know yet what it is
            size = flight.size if flight.size is not None else 0
            part = select(request.method, headers, size, "", seconds_of(flight.modified))
            status = part.status if flight.size is not None else 200
            kept = {name: value for name, value in part.headers.items() if name != "ETag"}
            response = web.StreamResponse(status=status, headers={**_HEADERS, **kept})
            response.headers["Content-Type"] = "application/octet-stream"
            if flight.size is not None and status != 304:
                response.content_length = part.length
            await response.prepare(request)
            if part.body and (flight.size is None or part.length):
                end = part.start + part.length if flight.size is not None else None
                await _copy(flight, file, response, part.start, end)
            await response.write_eof()
            return response
        finally:
            os.close(file)

    async def _pass(self, request: web.BaseRequest, flight: Flight) -> web.StreamResponse:
        """No room to keep it: fetched for this client alone."""
        self._journal.trouble(
            flight.archive.name, f"no room to keep {flight.path}: fetched anew for each machine"
        )
        wanted = {name: value for name in ("Range", "If-Range") if (value := request.headers.get(name))}
        for base in flight.archive.urls:
            try:
                async with self._fetcher.get(
                    kinds.url(base, flight.path), flight.archive.proxy, wanted
                ) as answer:
                    if answer.status in (200, 206):
                        return await _relay(request, answer)
            except (aiohttp.ClientError, TimeoutError) as error:
                log.warning("%s: %s", flight.path, error)
        return _line(502, f"the archive {flight.archive.name} could not be asked for {flight.path}")


async def _copy(
    flight: Flight, file: int, response: web.StreamResponse, position: int, end: int | None
) -> None:
    while end is None or position < end:
        while flight.open and flight.ready <= position:
            await flight.change()
        upto = flight.ready if end is None else min(flight.ready, end)
        if upto > position:
            data = os.pread(file, min(_PIECE, upto - position), position)
            await response.write(data)
            position += len(data)
        elif flight.outcome is Outcome.DONE:
            return
        else:
            # Headers are out: an unfinished body is all that can tell the client.
            raise ConnectionResetError(flight.error)


async def _relay(request: web.BaseRequest, answer: aiohttp.ClientResponse) -> web.StreamResponse:
    kept = {
        name: answer.headers[name]
        for name in ("Content-Length", "Content-Range", "Last-Modified", "ETag")
        if name in answer.headers
    }
    response = web.StreamResponse(status=answer.status, headers={**_HEADERS, **kept})
    await response.prepare(request)
    try:
        if request.method != "HEAD":
            async for piece in answer.content.iter_any():
                await response.write(piece)
    except (aiohttp.ClientError, TimeoutError) as error:
        raise ConnectionResetError(str(error)) from error
    await response.write_eof()
    return response


def _strong(cached: Cached) -> bool:
    """Whether its date tells it from a newer one: dates have whole seconds (RFC 9110 §8.8.2.2)."""
    return cached.stored - seconds_of(cached.modified) > _WEAK_SECONDS


def seconds_of(modified: str) -> float:
    """An HTTP date as epoch seconds; 0.0: none."""
    try:
        return parsedate_to_datetime(modified).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return 0.0


def _line(status: int, text: str, headers: Mapping[str, str] | None = None) -> web.Response:
    return web.Response(status=status, text=f"{text}\n", headers=headers)
