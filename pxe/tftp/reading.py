"""A client reads: moves blocks from a source to the client as the Sender says.

Steps of the flight recorder: `tftp.start` when the client took the first answer (a mere size probe, which
firmware ends with an ERROR, leaves no trace), then `tftp.done` or `tftp.error`.
"""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Iterator

from pxe.errors import WireError
from pxe.hub import Watch
from pxe.ports import PeerJournal
from pxe.tftp.exchange import Call, Exchange
from pxe.tftp.gso import Outlet
from pxe.tftp.session import Burst, Sender
from pxe.tftp.source import NotYet, Source
from pxe.tftp.wire import ACK, Code, Error, parse

_ACK_HEAD = bytes((0, ACK))
_ACK = struct.Struct("!HH")
_LONGEST = 256  # bytes of a datagram that are looked at: an ACK, or an ERROR with its text


class Reading(Exchange):
    """One read transfer."""

    def __init__(
        self,
        sock: socket.socket,
        call: Call,
        journal: PeerJournal,
        watch: Watch,
        source: Source,
        sender: Sender,
    ) -> None:
        super().__init__(sock, call, journal, watch)
        self._source = source
        self._sender = sender
        terms = sender.terms
        self._window = terms.windowsize
        self._lockstep = terms.windowsize == 1
        self._outlet = Outlet(sock, source, terms.blksize, terms.windowsize, sender.last)
        # A run: the one ACK that is waited for, then what answers it (a block, or a window of them, to be cut
        # by the kernel) and the next ACK.
        self._awaited: bytes | None = None
        self._run: Iterator[tuple[memoryview, bytes | None]] = iter(())
        self._ran, self._ran_at = 0, 0.0
        self._take, self._give, self._clock = sock.recv, sock.send, time.monotonic
        self._warming = False
        self._waiting: Burst | None = None  # cannot be sent yet: disk or socket buffer

    def begin(self) -> None:
        """Send the OACK or the first window."""
        super().begin()
        self._do(self._sender.start(self._loop.time()))

    def asked_again(self) -> None:
        """Send the first answer again, if it is old enough."""
        self._do(self._sender.asked_again(self._loop.time()))

    def close(self) -> None:
        """Give everything back."""
        if not self._closed:
            super().close()
            if not self._warming:
                self._source.close()

    def _readable(self) -> None:
        """The client waits after each ACK for what answers it: so that leaves first, and all else comes
        after."""
        try:
            raw = self._take(_LONGEST)
        except OSError as error:
            self._unread(error)
            return
        if raw == self._awaited:
            frame, awaited = next(self._run)
            try:
                self._give(frame)
            except OSError:
                self._awaited = None  # below: waits for room, or says what is wrong
            else:
                self._awaited = awaited
                self._ran += self._window
                self._ran_at = self._clock()
                if awaited is not None or self._lockstep:
                    return
                raw = b""
        try:
            if raw:
                self._received(raw, self._now())
            else:
                self._run_ended()
        except Exception:
            self._broke()

    def _run_ended(self) -> None:
        """While the client is busy with the last window of a run, the next run is made ready."""
        self._settle()
        following = self._sender.foreseen()
        if following is not None:
            self._foresee(following)

    def _settle(self) -> None:
        """Let the Sender know what happened without it."""
        if self._ran:
            self._sender.ran(self._ran, self._ran_at)
            self._ran = 0

    def _received(self, raw: bytes, now: float) -> None:
        self._settle()
        if not self._lockstep:
            self._awaited = None  # a window that came in part is no run
        if raw[:2] == _ACK_HEAD and len(raw) >= 4:  # the fast path: no objects for an ACK
            self._do(self._sender.ack(raw[2] << 8 | raw[3], now))
            if not self.answered and self._sender.answered:
                self._started()
            return
        try:
            packet = parse(raw)
        except WireError:
            return
        if isinstance(packet, Error):
            self._refused(packet.text or f"error {packet.code}")

    def _expired(self, now: float) -> None:
        self._settle()
        self._do(self._sender.tick(now))

    def _refused(self, reason: str) -> None:
        self._settle()
        if not self._sender.answered:
            self.close()  # a size probe, or a request that was never meant
            return
        self._sender.gone(reason)
        self._ended()

    def _do(self, action: Burst | bytes | None) -> None:
        if self._sender.done or self._sender.failed:
            self._ended()
            return
        if isinstance(action, Burst):
            self._send(action)
        elif action is not None:
            self._put(action)
        self._arm(self._sender.deadline)

    def _send(self, burst: Burst) -> None:
        self._awaited = None
        if self._warming:
            self._waiting = burst
            return
        try:
            if self._lockstep:
                sent = self._single(burst.first)
            else:
                sent = self._windows(burst)
        except NotYet:
            self._warm(burst)
            return
        except ConnectionError as error:
            self._refused(f"the client's port is closed ({error.strerror})")
            return
        except OSError as error:
            self._fail(Code.OTHER, error.strerror or str(error))
            return
        if not self._lockstep and self._awaited is None and sent == burst.blocks:
            following = self._sender.foreseen()
            if following is not None:
                self._foresee(following)
        if sent < burst.blocks:
            self._waiting = Burst(burst.first + sent, burst.blocks - sent)
            self._loop.add_writer(self._sock.fileno(), self._writable)
        elif self._waiting is not None:
            self._waiting = None
            self._loop.remove_writer(self._sock.fileno())

    def _single(self, block: int) -> int:
        """Send one block and have many after it ready; how many went out."""
        numbers = self._sender.ahead(block, self._outlet.run)
        frames = self._outlet.singly(block, numbers)
        try:
            self._sock.send(frames[0])
        except BlockingIOError:
            return 0
        run = min(len(frames) - 1, self._sender.run())
        if run > 0:
            self._awaited, *awaited = [_ACK.pack(ACK, number) for number in numbers[:run]]
            self._run = zip(frames[1 : run + 1], [*awaited, None], strict=True)
        return 1

    def _windows(self, burst: Burst) -> int:
        """Send one window and have some after it ready; how many blocks went out."""
        count = self._along(burst, self._sender.run())
        if count == burst.blocks:
            return self._outlet.window(burst.first, burst.blocks, self._sender.numbers)
        numbers = self._sender.numbers(burst.first, count)
        sent, frames = self._outlet.windows(burst.first, numbers, self._window)
        if sent == burst.blocks and self._outlet.cuts(self._window):
            ends = numbers[self._window - 1 :: self._window]
            self._awaited, *awaited = [_ACK.pack(ACK, number) for number in ends[:-1]]
            self._run = zip(frames, [*awaited, None], strict=True)
        return sent

    def _along(self, burst: Burst, run: int) -> int:
        """How many blocks are made ready with this window: it and whole ones after it."""
        if burst.blocks < self._window or not self._outlet.cuts(self._window):
            return burst.blocks
        return burst.blocks + min(run, self._outlet.run - burst.blocks) // self._window * self._window

    def _foresee(self, burst: Burst) -> None:
        """Have the next window ready before it is asked for, and what will be made ready with it."""
        count = self._along(burst, max(0, self._sender.run() - burst.blocks))
        try:
            self._outlet.prepare(burst.first, self._sender.numbers(burst.first, count))
        except (NotYet, OSError):
            return  # it will be said when the window is due

    def _writable(self) -> None:
        self._loop.remove_writer(self._sock.fileno())
        rest, self._waiting = self._waiting, None
        if rest is not None:
            self._send(rest)

    def _warm(self, burst: Burst) -> None:
        """Have a thread fetch the blocks from the disk; the newest burst is sent when they are there."""
        self._warming, self._waiting = True, burst
        size = self._sender.terms.blksize
        args = ((burst.first - 1) * size, burst.blocks * size)
        future = self._loop.run_in_executor(None, self._source.warm, *args)
        future.add_done_callback(lambda _: self._warmed(future.exception()))

    def _warmed(self, error: BaseException | None) -> None:
        self._warming = False
        rest, self._waiting = self._waiting, None
        if self._closed:
            self._source.close()
        elif error is not None:
            self._fail(Code.OTHER, f"reading failed: {error}")
        elif rest is not None:
            self._send(rest)

    def _started(self) -> None:
        self.answered = True
        terms, size = self._sender.terms, self._source.size
        text = f"{self.call.name}, {size} bytes"
        self._note("tftp.start", text, bytes=0, size=size, blksize=terms.blksize, windowsize=terms.windowsize)

    def _ended(self) -> None:
        if self._closed:
            return
        if self._sender.failed:
            self._fail(Code.OTHER, self._sender.failed, tell=False)
            return
        if not self.answered:
            self._started()
        size = self._source.size
        text = f"{self.call.name} sent, {size} bytes in {self.seconds:.2f} s"
        self._note("tftp.done", text, bytes=size, size=size, resent=self._sender.resent)
        self.close()
