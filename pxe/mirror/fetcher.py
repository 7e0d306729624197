"""Fetches one file from an archive's servers into a part file.

A transfer that breaks off is taken up where it stopped, as long as its server says that it is the same file
(If-Range). The law: an error of a server is told as that, never as "not there", and never kept.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import BinaryIO
from urllib.parse import urlsplit

import aiohttp
from yarl import URL

from pxe.mirror import kinds
from pxe.mirror.flight import Flight, Outcome
from pxe.mirror.packages import Known

log = logging.getLogger(__name__)
AGENT = "bootsrv"
ATTEMPTS, PAUSE = 4, 0.2  # of one transfer that breaks off; seconds, times the attempt
_CONNECT, _SILENT = 10.0, 30.0  # seconds
_GONE = (404, 410)
_CONTROL = (aiohttp.ClientError, TimeoutError, ConnectionError)
Fits = Callable[[int], bool]


class Missing(Exception):
    """The server does not have it."""


class Broken(Exception):
    """A server did what it should not; the text is for the log and the client."""


class NoRoom(Exception):
    """Our own disk is full."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What is known before. `etag`, `modified`: of what we have; `sum`: of what it must be; `fits` makes
    room."""

    etag: str = ""
    modified: str = ""
    known: Known | None = None
    sha256: str = ""
    fits: Fits = lambda size: True

    @property
    def condition(self) -> Mapping[str, str]:
        """The headers that ask only for something else than we have."""
        if self.etag:
            return {"If-None-Match": self.etag}
        return {"If-Modified-Since": self.modified} if self.modified else {}


class Fetcher:
    """One pool of connections."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        """Ready the pool. http_proxy and no_proxy of the environment count."""
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT, sock_read=_SILENT),
            connector=aiohttp.TCPConnector(limit_per_host=8),
            trust_env=True,
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": AGENT, "Accept-Encoding": "identity", "Via": f"1.1 {AGENT}"},
        )

    async def close(self) -> None:
        """End all connections."""
        if self._session is not None:
            await self._session.close()

    def get(
        self, url: str, proxy: str | None, headers: Mapping[str, str]
    ) -> aiohttp.client._RequestContextManager:
        """One request."""
        assert self._session is not None, "start() comes first"
        return self._session.get(URL(url, encoded=True), headers=headers, proxy=proxy, max_redirects=5)

    async def fly(self, flight: Flight, wish: Wish) -> bool:
        """Ask every server in turn until one has it. True: all bytes are in the part file and were compared.
        False: the flight has its outcome. Raises OSError when our disk fails."""
        missing = 0
        for base in flight.archive.urls:
            try:
                return await self._from(kinds.url(base, flight.path), flight, wish)
            except Missing:
                missing += 1
            except NoRoom:
                flight.tell(Outcome.FAILED if flight.outcome is Outcome.COMING else Outcome.NO_ROOM)
                return False
            except (Broken, *_CONTROL) as error:
                flight.error = f"{urlsplit(base).hostname}: {_words(error)}"
                log.warning("%s of %s: %s", flight.path, flight.archive.name, flight.error)
                if flight.outcome is Outcome.COMING:
                    break  # some clients have a part of it, and another server's bytes may be others
        flight.tell(Outcome.MISSING if missing == len(flight.archive.urls) else Outcome.FAILED)
        return False

    async def _from(self, url: str, flight: Flight, wish: Wish) -> bool:
        with flight.part.open("wb", buffering=0) as out:
            taken = _Taken(flight, wish, out)
            for attempt in range(1, ATTEMPTS + 1):
                try:
                    if not await self._once(url, flight, wish, taken):
                        return False
                    break
                except _CONTROL as error:
                    if attempt == ATTEMPTS or not (flight.have and (flight.etag or flight.modified)):
                        raise Broken(f"broke off after {flight.have} bytes: {_words(error)}") from error
                    await asyncio.sleep(PAUSE * attempt)
            taken.compare()
        return True

    async def _once(self, url: str, flight: Flight, wish: Wish, taken: _Taken) -> bool:
        """One request; False: what we have is still right."""
        headers = dict(wish.condition)
        if flight.have:
            validator = flight.etag if flight.etag.startswith('"') else flight.modified
            headers = {"Range": f"bytes={flight.have}-", "If-Range": validator}
        async with self.get(url, flight.archive.proxy, headers) as answer:
            if answer.status == 304 and wish.condition and not flight.have:
                flight.tell(Outcome.SAME)
                return False
            if answer.status in _GONE:
                raise Missing
            if flight.have:
                at = answer.headers.get("Content-Range", "")
                if answer.status != 206 or not at.startswith(f"bytes {flight.have}-"):
                    raise Broken(f"broke off after {flight.have} bytes, and is another file now")
            elif answer.status != 200:
                raise Broken(f"answers {answer.status} {answer.reason or ''}".rstrip())
            else:
                taken.begin(answer.headers)
            async for piece in answer.content.iter_any():
                taken.write(piece)
        return True


class _Taken:
    """Bytes as they come in."""

    def __init__(self, flight: Flight, wish: Wish, out: BinaryIO) -> None:
        self._flight, self._wish, self._out = flight, wish, out
        self._digest = hashlib.sha256()

    def begin(self, headers: Mapping[str, str]) -> None:
        """The first headers. Raises NoRoom, Broken."""
        flight, known = self._flight, self._wish.known
        length = headers.get("Content-Length", "")
        flight.size = int(length) if length.isdecimal() else None
        flight.etag, flight.modified = headers.get("ETag", ""), headers.get("Last-Modified", "")
        if known is not None and flight.size is not None and flight.size != known.size:
            raise Broken(f"has {flight.size} bytes, and the archive's index says {known.size}")
        if not self._wish.fits(flight.size or 0):
            raise NoRoom
        flight.tell(Outcome.COMING)

    def write(self, piece: bytes) -> None:
        """The next bytes. Raises NoRoom."""
        self._digest.update(piece)
        left = memoryview(piece)
        try:
            while left:
                left = left[self._out.write(left) :]
        except OSError as error:
            log.error("the part file of %s cannot be written: %s", self._flight.path, error)
            raise NoRoom from error
        self._flight.have += len(piece)
        self._flight.tell()

    def compare(self) -> None:
        """All of it is there: is it right? Raises Broken."""
        flight, wish = self._flight, self._wish
        if flight.size is not None and flight.have != flight.size:
            raise Broken(f"has {flight.have} bytes, and said {flight.size}")
        found = self._digest.hexdigest()
        if wish.known is not None and flight.have != wish.known.size:
            raise Broken(f"has {flight.have} bytes, and the archive's index says {wish.known.size}")
        expected = wish.sha256 or (wish.known.sha256 if wish.known is not None else found)
        if found != expected:
            raise Broken("its bytes are not those that the archive's index names")
        flight.sha256 = found


def _words(error: Exception) -> str:
    """An error in words: some have none of their own."""
    return str(error) or {"TimeoutError": "no answer in time"}.get(type(error).__name__, type(error).__name__)
