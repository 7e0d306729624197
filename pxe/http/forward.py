"""Hands requests on to another process of ours over its Unix socket, streaming both ways (uploads,
server-sent events).

The laws: nothing is buffered beyond a small body or one chunk; a client that is slow to send holds no thread
of the other process for long; and that process can trust X-Forwarded-For, because whatever the client wrote
there is dropped. Hop-by-hop headers (RFC 9110 §7.6.1) end here.
"""

from __future__ import annotations

import logging
from pathlib import Path

import aiohttp
from aiohttp import web
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from pxe.http.body import SMALL, Stream, whole

log = logging.getLogger(__name__)

_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
_CLAIMS = ("x-forwarded-", "x-real-ip", "forwarded")
DOWN = (
    "The bootsrv {} process is not running; booting machines goes on. Look at the log of `bootsrv serve`.\n"
)


class Forwarder:
    """One upstream: the process `name` at `socket`."""

    def __init__(self, socket: Path, name: str = "web", patience: float = 30.0) -> None:
        self._socket, self._name, self._patience = socket, name, patience
        self._session: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        """Ready the connection pool; the web process may come up later and go away in between."""
        self._session = aiohttp.ClientSession(
            connector=aiohttp.UnixConnector(str(self._socket), limit=0, keepalive_timeout=1),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=5),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
        )

    async def close(self) -> None:
        """End all upstream connections."""
        if self._session is not None:
            await self._session.close()

    async def forward(self, request: web.BaseRequest, peer: str) -> web.StreamResponse:
        """Answer `request` with what that process says; 502 with one clear line when it is down."""
        assert self._session is not None, "start() comes first"
        data = await self._upload(request)
        try:
            upstream = await self._session.request(
                request.method,
                URL("http://web" + _origin_form(request.raw_path), encoded=True),
                headers=_upward(request.headers, peer),
                data=data,
                allow_redirects=False,
            )
        except (aiohttp.ClientConnectionError, FileNotFoundError) as error:
            if isinstance(data, Stream) and data.late:
                raise web.HTTPRequestTimeout from error
            log.warning("%s process: %s", self._name, error)
            return web.Response(status=502, text=DOWN.format(self._name), headers={"Retry-After": "2"})
        async with upstream:
            return await self._downward(request, upstream)

    async def _upload(self, request: web.BaseRequest) -> bytes | Stream | None:
        """The request's body. Raises HTTPRequestTimeout."""
        if not (request.body_exists and request.can_read_body):
            return None
        length = request.content_length
        if length is not None and length <= SMALL:
            return await whole(request.content, SMALL, self._patience)
        return Stream(request.content, self._patience)

    async def _downward(
        self, request: web.BaseRequest, upstream: aiohttp.ClientResponse
    ) -> web.StreamResponse:
        headers = _end_to_end(upstream.headers)
        response = web.StreamResponse(status=upstream.status, reason=upstream.reason, headers=headers)
        await response.prepare(request)
        try:
            async for chunk in upstream.content.iter_any():
                await response.write(chunk)
        except aiohttp.ClientError as error:
            # Headers are out, so the status cannot change any more; an unfinished body is what tells the
            # client.
            log.warning("%s process ended in the middle of %s: %s", self._name, request.path, error)
            if request.transport is not None:
                request.transport.abort()
            raise ConnectionResetError(f"the {self._name} process ended its answer early") from error
        await response.write_eof()
        return response


def _origin_form(raw_path: str) -> str:
    """The request target as /path?query, whatever form it came in ("*" and absolute URLs included)."""
    if raw_path.startswith("/"):
        return raw_path.split("#")[0]
    return "/" if raw_path == "*" else URL(raw_path, encoded=True).raw_path_qs


def _end_to_end(headers: CIMultiDictProxy[str]) -> CIMultiDict[str]:
    dropped = _HOP | {name.strip().lower() for name in headers.get("Connection", "").split(",")}
    return CIMultiDict((n, v) for n, v in headers.items() if n.lower() not in dropped)


def _upward(headers: CIMultiDictProxy[str], peer: str) -> CIMultiDict[str]:
    # Names with an underscore: gunicorn takes SCRIPT_NAME and PATH_INFO from headers of a proxy it trusts,
    # and WSGI cannot tell X_Forwarded_For from X-Forwarded-For.
    kept = CIMultiDict(
        (n, v) for n, v in _end_to_end(headers).items() if "_" not in n and not n.lower().startswith(_CLAIMS)
    )
    kept.popall("Expect", None)  # answered here
    kept["X-Forwarded-For"] = peer
    kept["X-Forwarded-Proto"] = "http"
    return kept
