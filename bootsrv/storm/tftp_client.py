"""One TFTP download as firmware does it: options, windows, and asking again.

RFC 1350, 2347, 2348 (blksize), 2349 (tsize), 7440 (windowsize). Pure: no sockets, `now` (seconds) is an
argument. The law: it ends done or failed after a bounded time, and what it counted is what the server said
it would send. The content is thrown away: only its length is checked.
"""

from __future__ import annotations

from collections.abc import Sequence

from pxe.errors import WireError
from pxe.tftp import wire
from pxe.tftp.wire import Ack, Data, Error, Oack, Request

TIMEOUT = 1.0  # seconds between retransmissions
TRIES = 6  # without any progress
PLAIN = 512


class TftpClient:
    """Call `start`, then `receive` and, at `deadline`, `tick`; each gives datagrams to send."""

    def __init__(self, name: str, blksize: int = 1432, windowsize: int = 1, patience: float = 1.0) -> None:
        asked = [("tsize", "0"), ("blksize", str(blksize))]
        if windowsize > 1:
            asked.append(("windowsize", str(windowsize)))
        self._request = Request(False, name, "octet", tuple(asked))
        self._asked = {"tsize": 1 << 62, "blksize": blksize, "windowsize": windowsize}
        self._wait = TIMEOUT * patience
        self._last = b""
        self._blksize, self._window = PLAIN, 1
        self._block = 0  # of the last block that came in order, not wrapped
        self._acked = 0
        self._gap = False
        self._tries = 0
        self._expected: int | None = None
        self.size = 0
        self.deadline: float | None = None
        self.complete = False
        self.failed = ""
        self.retransmits = 0

    @property
    def done(self) -> bool:
        return self.complete or bool(self.failed)

    def start(self, now: float) -> Sequence[bytes]:
        """The request."""
        return self._send(wire.build(self._request), now)

    def tick(self, now: float) -> Sequence[bytes]:
        """The deadline has passed: the last datagram again, or give up."""
        if self.done or self.deadline is None or now < self.deadline:
            return ()
        self._tries += 1
        if self._tries >= TRIES:
            return self._fail("the server fell silent" if self._block else "no answer")
        self.retransmits += 1
        # RFC 7440 section 4: what came in order since the last ACK is acknowledged, so that it is not resent.
        last = self._last if self._block == self._acked else wire.build(Ack(self._block & 0xFFFF))
        self._acked = self._block
        return self._send(last, now)

    def receive(self, raw: bytes, now: float) -> Sequence[bytes]:
        """One datagram of the server."""
        if self.done:
            return ()
        try:
            packet = wire.parse(raw)
        except WireError as error:
            return self._fail(f"not TFTP: {error}", wire.Code.ILLEGAL)
        if isinstance(packet, Data):
            return self._data(packet, now)
        if isinstance(packet, Error):
            return self._fail(f"error {packet.code}: {packet.text[:80]}")
        if isinstance(packet, Oack) and self._block == 0:
            return self._agreed(packet, now)
        return ()

    def _agreed(self, packet: Oack, now: float) -> Sequence[bytes]:
        for name, text in packet.options:
            limit = self._asked.get(name)
            if limit is None or not (text.isascii() and text.isdigit() and len(text) < 19):
                return self._fail(f"an option we did not ask for: {name}={text}"[:80], wire.Code.OPTIONS)
            value = int(text)
            if not (0 if name == "tsize" else 1) <= value <= limit:
                return self._fail(f"{name}={text} was not asked for"[:80], wire.Code.OPTIONS)
            if name == "blksize":
                self._blksize = value
            elif name == "windowsize":
                self._window = value
            else:
                self._expected = value
        return self._send(wire.build(Ack(0)), now)

    def _data(self, packet: Data, now: float) -> Sequence[bytes]:
        if packet.block != (self._block + 1) & 0xFFFF:
            return self._out_of_order(packet, now)
        if len(packet.payload) > self._blksize:
            return self._fail("a block larger than agreed", wire.Code.ILLEGAL)
        self._block += 1
        self._gap = False
        self._tries = 0
        self.size += len(packet.payload)
        if len(packet.payload) < self._blksize:
            return self._end()
        if self._block - self._acked < self._window:
            self.deadline = now + self._wait
            return ()
        self._acked = self._block
        return self._send(wire.build(Ack(self._block & 0xFFFF)), now)

    def _out_of_order(self, packet: Data, now: float) -> Sequence[bytes]:
        """A gap is reported once (RFC 7440 section 4). In lockstep the last block again means that its ACK
        was lost: it is sent again, as EDK2 and iPXE do; not doubling is the sender's duty (RFC 1123 section
        4.2.3.1). What is older still is an echo."""
        if self._window == 1 and self._block and packet.block == self._block & 0xFFFF:
            self.retransmits += 1
            return self._send(self._last, now)
        ahead = (packet.block - self._block) & 0xFFFF
        if self._window == 1 or ahead > 0x7FFF or self._gap:
            return ()
        self._gap = True
        self._acked = self._block
        self.retransmits += 1
        return self._send(wire.build(Ack(self._block & 0xFFFF)), now)

    def _end(self) -> Sequence[bytes]:
        if self._expected is not None and self._expected != self.size:
            return self._fail(f"{self.size} bytes came, {self._expected} were announced")
        self.complete = True
        self.deadline = None
        return (wire.build(Ack(self._block & 0xFFFF)),)

    def _send(self, raw: bytes, now: float) -> Sequence[bytes]:
        self._last = raw
        self.deadline = now + self._wait
        return (raw,)

    def _fail(self, why: str, code: int | None = None) -> Sequence[bytes]:
        self.failed = why
        self.deadline = None
        return () if code is None else (wire.build(Error(code, why)),)
