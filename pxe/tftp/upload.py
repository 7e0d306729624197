"""One write transfer, without sockets: the receiving side (RFC 1350 §2, 2347, 7440). Pure.

Laws: every block is handed on exactly once and in order; a DATA that was seen before is answered again,
because its ACK may be lost, but only with an ACK; after the last block the ACK stays available for DALLY
seconds. Block 65535 may be followed by 0 or by 1: whichever comes is what the client means.
"""

from __future__ import annotations

from pxe.tftp.clock import Clock
from pxe.tftp.terms import Terms
from pxe.tftp.wire import Ack, Oack, build

GIVE_UP = 30.0  # seconds without a new block
GIVE_UP_FIRST = 10.0
DALLY = 3.0


class Receiver:
    """Takes blocks. `done`: all arrived; `failed`: why it ended early; call `tick` at `deadline`."""

    __slots__ = (
        "_clock",
        "_expected",
        "_gap_told",
        "_progress_at",
        "_received",
        "_rollover",
        "_unacked",
        "deadline",
        "done",
        "failed",
        "terms",
    )

    def __init__(self, terms: Terms) -> None:
        self.terms = terms
        self.done = False
        self.failed: str | None = None
        self.deadline = 0.0
        self._clock = Clock(terms.timeout)
        self._received = 0  # number on the wire of the last block in order
        self._expected = 1
        self._rollover: int | None = None
        self._unacked = 0
        self._gap_told = False
        self._progress_at = 0.0

    def start(self, now: float) -> bytes:
        """The invitation to send: OACK, or ACK 0."""
        self._progress_at = now
        self.deadline = now + self._clock.wait
        return self._again()

    def data(self, number: int, payload: bytes, now: float) -> tuple[bytes, bytes | None]:
        """A DATA came: (bytes to keep, datagram to send or None)."""
        if self.done:
            return b"", self._ack() if number == self._received else None
        if len(payload) > self.terms.blksize:
            self.failed = "a block larger than agreed"
            return b"", None
        if not self._is_next(number):
            return b"", self._out_of_order(number)
        self._received, self._expected = number, (number + 1) & 0xFFFF
        self._unacked += 1
        self._gap_told = False
        self._progress_at = now
        self._clock.progressed()
        self.done = len(payload) < self.terms.blksize
        self.deadline = now + (DALLY if self.done else self._clock.wait)
        if self.done or self._unacked >= self.terms.windowsize:
            return payload, self._ack()
        return payload, None

    def tick(self, now: float) -> bytes | None:
        """`deadline` has come: ask again, or give up."""
        if now < self.deadline or self.done or self.failed:
            return None
        patience = GIVE_UP if self._unacked or self._received else GIVE_UP_FIRST
        if now - self._progress_at >= patience:
            self.failed = "no more data from the client"
            return None
        self._clock.expired()
        self.deadline = now + self._clock.wait
        return self._again()

    def _is_next(self, number: int) -> bool:
        if self._expected == 0 and self._rollover is None and number in (0, 1):
            self._rollover = number
        return number == (self._rollover if self._expected == 0 and self._rollover else self._expected)

    def _out_of_order(self, number: int) -> bytes | None:
        """A block was lost (say so once), or this one came before (its ACK may be lost)."""
        if number == self._received:
            return self._ack() if not self._unacked else None
        ahead = (number - self._expected) & 0xFFFF
        if 0 < ahead < self.terms.windowsize and not self._gap_told:
            self._gap_told = True
            return self._ack()
        return None

    def _ack(self) -> bytes:
        self._unacked = 0
        return build(Ack(self._received))

    def _again(self) -> bytes:
        if self.terms.accepted and not self._received and self._expected == 1:
            return build(Oack(self.terms.accepted))
        return self._ack()
