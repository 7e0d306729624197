"""One request, from its route to its answer: the shell around the resolver.

The law: a failure is one line for the client (and a traceback in the log when it is ours), never a missing
answer; "failed" never becomes "not found". Calls into the house that may touch its database run in one worker
thread.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import TypeVar

from aiohttp import web

from pxe.catalogue import Entry, entry_of
from pxe.http import body, files
from pxe.http.files import AskedRoute, FileRoute
from pxe.http.forward import Forwarder
from pxe.http.limits import Limits
from pxe.http.ports import Denied, NodeRequest, Reply, Site, Wait
from pxe.http.resolver import (
    Agent,
    BootFile,
    Forward,
    InstallCall,
    Mirrored,
    NodeCall,
    Public,
    Refused,
    Script,
    Stored,
    TreeFile,
    Upload,
    authority_of,
    bearer,
    is_boot_program,
    route,
)
from pxe.http.steps import Step
from pxe.http.transfer import send
from pxe.ports import PeerJournal
from pxe.sockets import plain_address

log = logging.getLogger(__name__)
T = TypeVar("T")

_SHORTEST_WAIT = 0.05  # seconds between two looks of a long poll, whatever the house asks for


class Handlers:
    """Answers requests. `worker` has one thread: the house's."""

    def __init__(
        self,
        site: Site,
        journal: PeerJournal,
        forwarder: Forwarder | None,
        worker: ThreadPoolExecutor,
        limits: Limits,
        intake: Forwarder | None = None,
        mirror: Forwarder | None = None,
    ) -> None:
        self._site, self._journal, self._forwarder = site, journal, forwarder
        self._worker, self._limits, self._intake, self._mirror = worker, limits, intake, mirror

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """The one entry point: every request of every listener."""
        try:
            await _go_on(request)
            return await self._answer(request)
        except ConnectionError:
            return _cut(request)
        except web.HTTPException as refused:
            return _line(refused.status, refused.reason)
        except FileNotFoundError as gone:
            log.info("%s: %s", request.path, gone)
            return _line(404, "not found")
        except Exception:
            if request.transport is None or request.transport.is_closing():
                return _cut(request)  # broken off on purpose, and logged there
            log.exception("%s %s failed", request.method, request.path)
            return _line(500, "bootsrv failed on this request; its log has the details")

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        match route(request.method, request.raw_path):
            case Forward():
                return await self._forward(request, self._forwarder)
            case Upload():
                return await self._forward(request, self._intake)
            case Agent():
                return await self._agent(request)
            case Script() as script:
                return await self._script(request, script)
            case BootFile(name) as file:
                return await self._file(request, file, name, await self._boot_file(request, name))
            case Public(name) as file:
                return await self._file(request, file, name, files.held(self._site, file))
            case TreeFile(tree, name) as file:
                entry = await self._asked(request, file)
                return await self._file(request, file, f"tree/{tree}/{name}", entry)
            case Mirrored() | Stored() as file:
                return await self._guarded(request, file)
            case NodeCall() as call:
                return await self._node(request, call)
            case InstallCall() as call:
                return await self._install(request, call)
            case Refused(status, text, allow):
                return _line(status, text, {"Allow": allow} if allow else {})

    async def _forward(self, request: web.BaseRequest, to: Forwarder | None) -> web.StreamResponse:
        return _line(404, "not found") if to is None else await to.forward(request, peer_of(request))

    async def _agent(self, request: web.BaseRequest) -> web.StreamResponse:
        """The agent talks to the address that it was fetched from: that one is known to work."""
        host = authority_of(request.headers.get("Host"))
        if host is None:
            return _line(400, "the Host header names no server that an agent could talk to")
        server = f"{'https' if request.secure else 'http'}://{host}"
        entry = entry_of(await self._ask(lambda: self._site.agent(server)))
        assert entry is not None  # bytes always are one
        headers = {"Cache-Control": "no-cache", "Vary": "Host"}
        return await send(request, entry, "text/x-python; charset=utf-8", headers)

    async def _script(self, request: web.BaseRequest, script: Script) -> web.StreamResponse:
        headers = {"Cache-Control": "no-store"}
        if request.method != "GET":  # a look at it starts nothing: no token, no attempt
            return web.Response(content_type="text/plain", charset="utf-8", headers=headers)
        peer, local = peer_of(request), local_of(request)

        def ask(waited: float) -> str | Denied | Wait:
            return self._site.boot_script(script.mac, script.query, peer, local, waited, script.file)

        text: str | Denied | None = await self._until(ask)
        if text is None:
            return _line(503, "it cannot be told yet which machine asks; ask again", headers)
        if isinstance(text, Denied):
            return _line(text.status, text.text, headers)
        body = text.encode()
        data = {"file": f"boot/{script.mac}/{script.file}", "bytes": len(body)}
        self._journal.record_peer(peer, "http.done", "boot script sent", data)
        return web.Response(body=body, content_type="text/plain", charset="utf-8", headers=headers)

    async def _file(
        self, request: web.BaseRequest, route: FileRoute, name: str, entry: Entry | Denied | None
    ) -> web.StreamResponse:
        if isinstance(entry, Entry):
            return await self._send(request, route, entry)
        if boots(request):
            data = {"file": name[:200]}
            self._journal.record_peer(peer_of(request), "http.missing", f"no file {name[:200]!r}", data)
        return _line(404, f"no file {name[:200]!r}")

    async def _guarded(self, request: web.BaseRequest, route: Mirrored | Stored) -> web.StreamResponse:
        """A file that not everybody gets; a package that is not here is for the process that fetches."""
        found = await self._asked(request, route)
        if isinstance(found, Denied):
            wanted = isinstance(route, Stored) and found.status == 401
            return _line(found.status, found.text, {"WWW-Authenticate": "Bearer"} if wanted else {})
        if found is not None:
            return await self._send(request, route, found)
        if isinstance(route, Mirrored):
            return await self._forward(request, self._mirror)
        return _line(404, "no such thing in the store")

    async def _boot_file(self, request: web.BaseRequest, name: str) -> Entry | None:
        if (entry := self._site.boot_file(name)) is not None:
            return entry
        return await self._ask(lambda: self._site.boot_made(name, peer_of(request)))

    async def _asked(self, request: web.BaseRequest, route: AskedRoute) -> Entry | Denied | None:
        peer, token = peer_of(request), bearer(request.headers.get("Authorization"))

        def ask(waited: float) -> Entry | Denied | Wait | None:
            found = files.asked(self._site, route, peer, token)
            if isinstance(found, Wait) and waited >= self._limits.making:
                return Denied(503, "it is being made; ask again")  # before a client takes us for dead
            return found

        return await self._until(ask)

    async def _send(self, request: web.BaseRequest, route: FileRoute, entry: Entry) -> web.StreamResponse:
        """Send a file, and let the flight recorder know where it is a step of a machine's boot."""
        how = files.dress(route, boots(request))
        if not how.step or request.method != "GET":
            return await send(request, entry, how.type, dict(how.extra))
        step, total, whole = Step(self._journal, peer_of(request), how.step, entry.size), 0, False

        def count(sent: int) -> None:
            nonlocal total
            total += sent

        try:
            response = await send(request, entry, how.type, dict(how.extra), count)
            whole = True
            return response
        finally:
            step.ended(total, whole)

    async def _node(self, request: web.BaseRequest, call: NodeCall) -> web.StreamResponse:
        """One call of the node API."""
        question = await self._question(request, call)
        answer = await self._until(lambda waited: self._site.node(replace(question, waited=waited)))
        return web.Response(status=204) if answer is None else _reply(answer)

    async def _install(self, request: web.BaseRequest, call: InstallCall) -> web.StreamResponse:
        """Answers for one machine; the house is told when they have left whole."""
        asked = await self._question(request, NodeCall(call.name, call.query))
        answer = await self._until(
            lambda waited: self._site.install(call.token, call.name, replace(asked, waited=waited))
        )
        if answer is None:
            return _line(503, "it cannot be told yet which machine asks; ask again")
        response = _reply(answer)
        if request.method == "GET" and answer.status == 200:
            await response.prepare(request)
            await response.write_eof()
            await self._ask(lambda: self._site.install_sent(call.token, call.name))
        return response

    async def _until(self, question: Callable[[float], T | Wait]) -> T | None:
        """A Wait is asked again, told how long it has been, until it is an answer: a long poll without a
        thread. None: it took longer than anybody waits."""
        asked, waited = time.monotonic(), 0.0
        while isinstance(answer := await self._ask(partial(question, waited)), Wait):
            left = self._limits.longest_wait - (time.monotonic() - asked)
            if left <= 0:
                return None
            await asyncio.sleep(max(_SHORTEST_WAIT, min(answer.seconds, left)))
            waited = time.monotonic() - asked
        return answer

    async def _question(self, request: web.BaseRequest, call: NodeCall) -> NodeRequest:
        return NodeRequest(
            method=request.method,
            path=call.path,
            query=call.query,
            headers={name.lower(): value for name, value in request.headers.items()},
            body=await body.whole(request.content, self._limits.node_body, self._limits.sending),
            peer=peer_of(request),
            token=bearer(request.headers.get("Authorization")),
        )

    async def _ask(self, question: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._worker, question)


def peer_of(request: web.BaseRequest) -> str:
    """The client's IP address; IPv4 over an IPv6 socket is plain IPv4, our Unix socket counts as this
    machine."""
    return _end(request, "peername") or "127.0.0.1"


def boots(request: web.BaseRequest) -> bool:
    """Whether firmware or a boot loader asks."""
    return is_boot_program(request.headers.get("User-Agent"))


def local_of(request: web.BaseRequest) -> str:
    """Our own address that the client reached; "" on our Unix socket."""
    return _end(request, "sockname")


def _end(request: web.BaseRequest, which: str) -> str:
    name = request.transport.get_extra_info(which) if request.transport else None
    return plain_address(name) if isinstance(name, tuple) else ""


def _reply(answer: Reply) -> web.Response:
    headers = dict(answer.headers)
    if answer.status not in (204, 304):
        headers.setdefault("Content-Type", answer.type)
    return web.Response(status=answer.status, body=answer.body or None, headers=headers)


def _line(status: int, text: str, headers: dict[str, str] | None = None) -> web.Response:
    return web.Response(status=status, text=text.rstrip("\n") + "\n", headers=headers)


def _cut(request: web.BaseRequest) -> web.Response:
    """The client is gone, or must see that its answer is not complete: nothing more is said to it."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=499)  # nobody reads it; nginx's number for this case


async def _go_on(request: web.BaseRequest) -> None:
    """Answer `Expect: 100-continue` (RFC 9110 §10.1.1); curl waits a second for it otherwise."""
    if request.headers.get("Expect", "").lower() == "100-continue" and request.transport is not None:
        request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
