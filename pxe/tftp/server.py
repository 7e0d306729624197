"""The TFTP service: admits requests, starts transfers, keeps the bounds.

The law: one address has at most `per_source` transfers at a time, all have at most `total`, and who leaves
`half_open` of them unanswered gets no more (its address may be forged, and we send more than was sent in its
name); what is beyond is dropped, and the client asks again. Nobody's mistake ends anything but its own
transfer.
"""

from __future__ import annotations

import asyncio
import errno
import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from pxe.errors import WireError
from pxe.hub import LoopWatch, Watch
from pxe.ports import PeerJournal
from pxe.sockets import Listen, plain_address
from pxe.tftp.exchange import Call, Exchange
from pxe.tftp.listener import Asked, Listener, largest_block
from pxe.tftp.ports import Files, Uploads
from pxe.tftp.reading import Reading
from pxe.tftp.session import Sender
from pxe.tftp.source import open_source
from pxe.tftp.terms import negotiate
from pxe.tftp.upload import Receiver
from pxe.tftp.wire import Code, Error, Request, parse
from pxe.tftp.writing import Writing

__all__ = ["Limits", "Listen", "TftpServer"]

log = logging.getLogger(__name__)
PROMPT = 1.0  # seconds; machines that start together are all unanswered for a moment
_AT_ONCE = 64  # requests read before transfers get their turn


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on transfers."""

    total: int = 4096
    per_source: int = 64
    half_open: int = 16
    window: int = 64  # blocks in flight, whatever the client asks for


class TftpServer:
    """Serves a catalogue. `await start()`, then `await close()`; both on one running event loop, which runs
    on `watch` where that is a HotSelector (3 system calls a block, and no turn of the loop)."""

    def __init__(
        self,
        files: Files,
        journal: PeerJournal,
        uploads: Uploads | None = None,
        limits: Limits | None = None,
        watch: Watch | None = None,
    ) -> None:
        self._files, self._journal, self._uploads = files, journal, uploads
        self._limits = limits or Limits()
        self._listeners: list[Listener] = []
        self._watch = watch or LoopWatch()
        self._running: dict[tuple[Any, ...], Exchange] = {}
        self._sources: dict[str, set[Exchange]] = {}
        self.bound: list[tuple[str, int]] = []
        self.dropped: Counter[str] = Counter()  # requests that got no answer, by reason

    async def start(self, places: Sequence[Listen]) -> None:
        """Open the sockets; OSError when one cannot be opened (then none is). `bound` tells the real
        ports."""
        opened: list[Listener] = []
        try:
            opened.extend(Listener(place) for place in places)
        except OSError:
            for listener in opened:
                listener.close()
            raise
        for listener in opened:
            asyncio.get_running_loop().add_reader(listener.fileno(), self._readable, listener)
        self._listeners += opened
        self.bound += [listener.bound for listener in opened]

    async def close(self) -> None:
        """Stop; running transfers end, and their clients are told."""
        for listener in self._listeners:
            asyncio.get_running_loop().remove_reader(listener.fileno())
            listener.close()
        self._listeners.clear()
        for exchange in list(self._running.values()):
            exchange.stop("the server is stopping")

    def _readable(self, listener: Listener) -> None:
        for _ in range(_AT_ONCE):
            try:
                asked = listener.receive()
            except BlockingIOError:
                return
            except OSError as error:
                log.warning("TFTP: %s", error)  # an ICMP error of an earlier refusal; the socket is fine
                continue
            if asked is not None:
                self._asked(listener, asked)

    def _asked(self, listener: Listener, asked: Asked) -> None:
        try:
            request = parse(asked.raw)
            if not isinstance(request, Request):
                raise WireError("not a request")
        except WireError:
            self.dropped["malformed"] += 1  # never answered: that would make us a reflector
            return
        peer = plain_address(asked.peer)
        call = Call(peer, asked.peer, request.filename[:255], asked.raw)
        if not self._admitted(call):
            return
        try:
            exchange = self._open(listener, asked, request, call)
        except Exception:
            log.exception("TFTP request of %s for %r failed", peer, call.name)
            listener.refuse(asked, Error(Code.OTHER, "internal error"))
            return
        if exchange is None:
            return
        self._running[call.key] = exchange
        self._sources.setdefault(peer, set()).add(exchange)
        exchange.on_close = self._forget
        exchange.begin()

    def _admitted(self, call: Call) -> bool:
        earlier = self._running.get(call.key)
        if earlier is not None:
            if earlier.call.raw == call.raw and not earlier.answered:
                earlier.asked_again()
                return False
            earlier.started_over()
        theirs, limits = self._sources.get(call.peer, ()), self._limits
        if len(self._running) >= limits.total or len(theirs) >= limits.per_source:
            self.dropped["busy"] += 1
            return False
        if len(theirs) >= limits.half_open and _unanswered(theirs) >= limits.half_open:
            self.dropped["half-open"] += 1
            return False
        return True

    def _forget(self, exchange: Exchange) -> None:
        call = exchange.call
        if self._running.get(call.key) is exchange:
            del self._running[call.key]
        theirs = self._sources[call.peer]
        theirs.discard(exchange)
        if not theirs:
            del self._sources[call.peer]

    def _open(self, listener: Listener, asked: Asked, request: Request, call: Call) -> Exchange | None:
        try:
            if request.write:
                return self._write(listener, asked, request, call)
            return self._read(listener, asked, request, call)
        except FileNotFoundError:
            self._journal.record_peer(
                call.peer, "tftp.missing", f"no file {call.name!r}", {"file": call.name}
            )
            listener.refuse(asked, Error(Code.NOT_FOUND, "file not found"))
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                self.dropped["busy"] += 1
                log.error("TFTP request of %s dropped: %s", call.peer, error)
                return None
            code = Code.ACCESS if isinstance(error, PermissionError) else Code.OTHER
            reason = error.strerror or str(error)
            self._journal.record_peer(
                call.peer, "tftp.error", f"{call.name}: {reason}", {"file": call.name, "error": reason}
            )
            listener.refuse(asked, Error(code, reason))
        return None

    def _read(self, listener: Listener, asked: Asked, request: Request, call: Call) -> Exchange:
        entry = self._files.find(request.filename, call.peer)
        if entry is None:
            raise FileNotFoundError
        source = open_source(entry, request.mode)
        try:
            sock = listener.connect(asked)
        except OSError:
            source.close()
            raise
        terms = negotiate(request, source.size, largest_block(sock), self._limits.window)
        return Reading(sock, call, self._journal, self._watch, source, Sender(source.size, terms))

    def _write(self, listener: Listener, asked: Asked, request: Request, call: Call) -> Exchange:
        sock = listener.connect(asked)
        try:
            terms = negotiate(request, None, largest_block(sock), self._limits.window)
            upload = self._uploads.begin(request.filename, call.peer, terms.size) if self._uploads else None
            if upload is None:
                raise PermissionError(errno.EACCES, "this server takes no such upload")
        except BaseException:
            sock.close()
            raise
        return Writing(
            sock, call, self._journal, self._watch, upload, Receiver(terms), request.mode == "netascii"
        )


def _unanswered(exchanges: Iterable[Exchange]) -> int:
    """How many should have been answered by now."""
    return sum(not exchange.answered and exchange.seconds > PROMPT for exchange in exchanges)
