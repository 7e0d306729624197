"""One client's connection, as long as it asks for files in the plain way.

A head comes in, the answer's head and the file go out, the file by sendfile(2) from the page cache to the
socket; no task, no future, no copy. The law: what was promised in Content-Length is sent, or the connection
is cut. A request that is not for here, or fails before anything was said, goes to the complete server with
the connection and every byte that was read: nothing is answered by halves.
"""

from __future__ import annotations

import errno
import logging
import os
import socket
from contextlib import suppress
from typing import Any, Protocol

from pxe.catalogue import Entry
from pxe.http import wire
from pxe.http.files import Dress, FileRoute
from pxe.http.openfiles import OpenFile, OpenFiles
from pxe.http.reply import answer
from pxe.http.steps import Step
from pxe.hub import Watch
from pxe.ports import PeerJournal
from pxe.sockets import plain_address

log = logging.getLogger(__name__)
_READ = 16384  # bytes: a head, and the one after it
_SLICE = 16 << 20  # bytes given to the kernel at once; the next slice is read ahead meanwhile
_GONE = frozenset({errno.ETIMEDOUT, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ENETDOWN})


class Host(Protocol):
    """What a connection needs of those who have it."""

    watch: Watch
    journal: PeerJournal
    files: OpenFiles

    def find(self, head: wire.Head) -> tuple[FileRoute, Dress, Entry | None] | None:
        """What a head asks for; no entry: the house has to be asked for it. None: not for here. Whatever is
        raised means the same."""

    def ask(self, connection: Connection, head: wire.Head, route: FileRoute) -> None:
        """Have `connection.found` called with the entry, or None."""

    def date(self) -> str:
        """Now, as HTTP writes it."""

    def now(self) -> float:
        """A clock's seconds."""

    def hand_over(self, sock: socket.socket, raw: bytes) -> None:
        """The socket, and what was read from it and not answered, are another's now."""

    def ended(self, connection: Connection) -> None:
        """It has closed, or was handed over."""


class Connection:
    """Serves one accepted, non-blocking TCP socket. `busy`: an answer is under way; else it waits for a
    request, `since` then. `last`: no more requests after this one."""

    __slots__ = ("_asked", "_at", "_closed", "_end", "_fd", "_file", "_host", "_out", "_peer", "_raw",
                 "_room", "_sock", "_start", "_step", "_target", "busy", "last", "since")  # fmt: skip

    def __init__(self, host: Host, sock: socket.socket, peer: tuple[Any, ...]) -> None:
        self._host, self._sock, self._fd, self._peer = host, sock, sock.fileno(), peer
        self._raw = b""  # read, and not answered yet; while an answer is under way, what came behind it
        self._asked: tuple[wire.Head, tuple[int, int] | None, Dress, int] | None = None
        self._out = b""  # of the answer, before the file
        self._file: OpenFile | None = None
        self._start = self._at = self._end = 0
        self._step: Step | None = None
        self._target = ""
        self._closed = self._room = False
        self.busy = self.last = False
        self.since = host.now()
        host.watch.watch(self._fd, self.readable)

    @property
    def peer(self) -> str:
        """The client's IP address."""
        return plain_address(self._peer)

    def readable(self) -> None:
        """Bytes came, or the end of them."""
        try:
            raw = self._sock.recv(_READ)
        except BlockingIOError:
            return
        except OSError:
            self.drop()
            return
        if not raw:
            self.drop()
            return
        self._raw = self._raw + raw if self._raw else raw
        try:
            self._serve()
        except Exception:
            self._broke()

    def roomy(self) -> None:
        """The socket takes more."""
        try:
            if self._flow():
                self._serve()
        except Exception:
            self._broke()

    def found(self, entry: Entry | None) -> None:
        """What the house was asked for."""
        if self._closed or self._asked is None:
            return
        head, span, dress, end = self._asked
        self._asked, self.busy = None, False
        self._host.watch.watch(self._fd, self.readable)
        try:
            if entry is None:
                self._hand_over()
            elif self._answer(head, span, dress, entry, end):
                self._serve()
        except Exception:
            self._broke()

    def drop(self) -> None:
        """Close it, now."""
        if self._closed:
            return
        self._leave()
        self._sock.close()

    def _broke(self) -> None:
        """An exception that is our bug ends this connection, and no other."""
        log.exception("HTTP: an answer to %s failed", self.peer)
        self.drop()

    def _serve(self) -> None:
        """Answer what was read, one request after the other."""
        while self._raw and not (self.busy or self._closed):
            raw = self._raw
            end = raw.find(b"\r\n\r\n") + 4
            if end < 4:
                if not wire.begun(raw):
                    self._hand_over()
                return
            try:
                plain = wire.parse(raw if end == len(raw) else raw[:end])
                wanted = None if plain is None else self._host.find(plain[0])
            except Exception:  # it will be said over there
                plain = wanted = None
            if plain is None or wanted is None:
                self._hand_over()
                return
            (head, span), (route, dress, entry) = plain, wanted
            if entry is not None:
                self._answer(head, span, dress, entry, end)
                continue
            self._asked, self.busy = (head, span, dress, end), True
            self._host.watch.unwatch(self._fd)  # what comes meanwhile waits in the kernel
            self._host.ask(self, head, route)

    def _answer(
        self, head: wire.Head, span: tuple[int, int] | None, dress: Dress, entry: Entry, end: int
    ) -> bool:
        """Begin to answer the first `end` bytes of what was read; whether that was all of it."""
        host = self._host
        try:
            text, start, length = answer(head, span, entry, dress.type, dress.extra, host.date())
            if length and entry.data is None:
                self._file = host.files.take(entry)
        except Exception:  # it will be said over there
            self._hand_over()
            return False
        self.busy = True
        self._raw = self._raw[end:]
        self._target = head.target
        self.last |= not head.keep
        if dress.step and head.method == "GET":
            self._step = Step(host.journal, self.peer, dress.step, entry.size)
        self._start = self._at = start
        self._end = start + length
        if entry.data is None:
            self._out = text
        else:
            self._out = text + entry.data[start : start + length]
        return self._flow()

    def _flow(self) -> bool:
        """Send what the socket takes without waiting; whether the answer is complete and more may follow."""
        file = self._file
        try:
            if out := self._out:
                sent = self._sock.send(out, 0 if file is None else socket.MSG_MORE)
                self._out = out[sent:]
                if sent < len(out):
                    return self._wait()
            if file is None:
                self._at = self._end
            while self._at < self._end:
                assert file is not None
                count = min(_SLICE, self._end - self._at)
                sent = os.sendfile(self._fd, file.fd, self._at, count)
                if not sent:
                    raise OSError(errno.EIO, "the file became shorter while it was sent")
                self._at += sent
                if self._at < self._end:
                    if sent == count:
                        # Starts reading without waiting: a cold disk then delays this client, not the loop.
                        with suppress(OSError):
                            ahead = self._at + _SLICE
                            os.posix_fadvise(file.fd, ahead, _SLICE, os.POSIX_FADV_WILLNEED)
                    return self._wait()
        except BlockingIOError:
            return self._wait()
        except OSError as error:
            if not isinstance(error, ConnectionError) and error.errno not in _GONE:
                log.error("reading %s failed after %d bytes: %s", self._target, self._at - self._start, error)
            self.drop()
            return False
        return self._complete()

    def _wait(self) -> bool:
        if not self._room:
            self._room = True
            self._host.watch.room(self._fd, self.roomy)
        return False

    def _complete(self) -> bool:
        self._release(whole=True)
        if self.last:
            self.drop()
            return False
        self.busy = False
        self.since = self._host.now()
        if self._room:
            self._room = False
            self._host.watch.watch(self._fd, self.readable)
        return True

    def _release(self, whole: bool) -> None:
        """The answer is over."""
        if self._file is not None:
            self._host.files.give(self._file, self._host.now())
            self._file = None
        if self._step is not None:
            self._step.ended(self._at - self._start, whole)
            self._step = None

    def _hand_over(self) -> None:
        self._leave()
        self._host.hand_over(self._sock, self._raw)

    def _leave(self) -> None:
        self._closed = True
        self._host.watch.unwatch(self._fd)
        self._release(whole=False)
        self._host.ended(self)
