"""One transfer's socket and timer: what reading and writing have in common.

Each transfer has its own connected UDP socket (that is TFTP's transfer identifier, RFC 1350 §4): the kernel
keeps strangers out, and tells us when the client's port is closed. The timer is moved only when it has to
fire earlier than planned, so that a fast transfer does not pay for it with every block.
"""

from __future__ import annotations

import asyncio
import logging
import math
import socket
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pxe.hub import Watch
from pxe.ports import PeerJournal
from pxe.tftp.wire import Code, Error, build

log = logging.getLogger(__name__)

_SLACK = 0.0005  # seconds; the loop's clock is not finer


@dataclass(frozen=True, slots=True)
class Call:
    """Who asked for what."""

    peer: str  # IP address, for people and for the journal
    key: tuple[Any, ...]  # the peer's socket address
    name: str  # as asked
    raw: bytes  # the request, to know a repeated one


class Exchange(ABC):
    """Subclasses fill in `_received`, `_expired` and `_refused`."""

    at_once = 1  # datagrams read before others get their turn; an answer is seldom followed by another
    longest = 2048  # bytes of a datagram that are looked at

    def __init__(self, sock: socket.socket, call: Call, journal: PeerJournal, watch: Watch) -> None:
        self.call = call
        self.answered = False
        self._sock = sock
        self._journal = journal
        self._watch = watch
        self._loop = asyncio.get_running_loop()
        self._now = self._loop.time
        self._timer: asyncio.TimerHandle | None = None
        self._fires = math.inf  # when the timer does
        self._closed = False
        self._began = self._now()
        self.on_close: Callable[[Exchange], None] = lambda _: None

    @property
    def seconds(self) -> float:
        """Age of the transfer."""
        return self._now() - self._began

    def begin(self) -> None:
        """Start to listen to the client."""
        self._watch.watch(self._sock.fileno(), self._readable)

    def stop(self, reason: str) -> None:
        """End from our side; tells the client."""
        if not self._closed:
            self._fail(Code.OTHER, reason)

    def asked_again(self) -> None:  # noqa: B027 - most have nothing to do
        """The client repeated its request before it took anything from us."""

    def started_over(self) -> None:
        """The client sent a new request from the same port: this transfer is history."""
        if not self._closed:
            self._refused("the client started over")

    def close(self) -> None:
        """Give everything back."""
        if self._closed:
            return
        self._closed = True
        self._watch.unwatch(self._sock.fileno())
        self._loop.remove_writer(self._sock.fileno())
        self._sock.close()
        if self._timer is not None:
            self._timer.cancel()
        self.on_close(self)

    @abstractmethod
    def _received(self, raw: bytes, now: float) -> None:
        """A datagram of the client."""

    @abstractmethod
    def _expired(self, now: float) -> None:
        """The deadline has passed."""

    @abstractmethod
    def _refused(self, reason: str) -> None:
        """The client ended it, or is gone."""

    def _readable(self) -> None:
        try:
            for _ in range(self.at_once):
                try:
                    raw = self._sock.recv(self.longest)
                except OSError as error:
                    self._unread(error)
                    return
                self._received(raw, self._now())
                if self._closed:
                    return
        except Exception:
            self._broke()

    def _unread(self, error: OSError) -> None:
        """Nothing could be read."""
        if not isinstance(error, BlockingIOError):
            self._refused(f"the client's port is closed ({error.strerror})")

    def _broke(self) -> None:
        """An exception that is our bug ends this transfer, and no other."""
        log.exception("TFTP transfer of %r to %s failed", self.call.name, self.call.peer)
        self.stop("internal error")

    def _arm(self, deadline: float) -> None:
        """Have `_expired` called at `deadline`, or a little later."""
        if self._closed:
            return
        if self._fires <= deadline + _SLACK:
            return  # it fires earlier and then looks again
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._fires = self._loop.call_at(deadline, self._fire), deadline

    def _fire(self) -> None:
        self._timer, self._fires = None, math.inf
        try:
            self._expired(self._now() + _SLACK)
        except Exception:
            self._broke()

    def _put(self, raw: bytes) -> None:
        """Send one datagram; a full buffer loses it, like any network."""
        try:
            self._sock.send(raw)
        except BlockingIOError:
            pass
        except OSError as error:
            self._refused(f"cannot send: {error.strerror}")

    def _fail(self, code: Code, reason: str, tell: bool = True) -> None:
        """Record the failure, tell the client, and end."""
        self._note("tftp.error", f"{self.call.name}: {reason}", error=reason)
        if tell:
            try:
                self._sock.send(build(Error(code, reason)))
            except OSError as error:
                log.debug("TFTP error to %s was not sent: %s", self.call.peer, error)
        self.close()

    def _note(self, kind: str, text: str, **data: Any) -> None:
        facts = {"file": self.call.name, "seconds": round(self.seconds, 4), **data}
        self._journal.record_peer(self.call.peer, kind, text, facts)
