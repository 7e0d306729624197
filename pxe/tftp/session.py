"""One read transfer, without sockets: when to send which blocks (RFC 1350 §2, 2347, 7440). Pure.

Laws:
* Never doubles. In lockstep a repeated ACK sends nothing (the Sorcerer's Apprentice, RFC 1123 §4.2.3.1). In
  windows, an early or repeated ACK only moves a deadline: at most one window leaves per round trip.
* Always ends: no answer for GIVE_UP seconds, and the transfer is over.
* Block numbers on the wire are 16 bits; here they are counted from 1 without end. After 65535 comes 0, or 1
when
  the client asked for `rollover=1`; if it sticks there, the other one is tried.
"""

from __future__ import annotations

from typing import NamedTuple

from pxe.tftp.clock import Clock
from pxe.tftp.terms import Terms
from pxe.tftp.wire import Oack, build

GIVE_UP = 30.0  # seconds without progress
GIVE_UP_FIRST = 10.0  # before the client answered at all: its address may be forged
GIVE_UP_LAST = 5.0  # for the very last ACK: many clients are gone by then, with the whole file
ECHO = 0.2  # a request repeated this soon (seconds) is an echo of the network


class Burst(NamedTuple):
    """Send this many blocks from number `first` on (counted from 1, without rollover)."""

    first: int
    blocks: int


class Sender:
    """Sends a file of `size` bytes. Each method returns what to send now: a Burst, raw bytes, or None.

    After each call look at `done` (all acknowledged), `failed` (why it ended early) and `deadline` (call
    `tick` then). `resent` counts blocks that were sent again, `last` is the number of the last one.
    """

    __slots__ = (
        "_acked",
        "_again",
        "_clock",
        "_early",
        "_oack",
        "_progress_at",
        "_sent",
        "_sent_at",
        "_short",
        "_window",
        "answered",
        "deadline",
        "done",
        "failed",
        "last",
        "resent",
        "rollover",
        "terms",
    )

    def __init__(self, size: int, terms: Terms) -> None:
        self.terms = terms
        self.rollover = terms.rollover
        self.done = False
        self.answered = False
        self.failed: str | None = None
        self.deadline = 0.0
        self.resent = 0
        self.last = size // terms.blksize + 1
        self._window = terms.windowsize
        self._clock = Clock(terms.timeout)
        self._oack = bool(terms.accepted)
        self._acked = -1 if self._oack else 0  # highest block acknowledged; -1: the OACK is not
        self._sent = 0
        self._sent_at = self._progress_at = 0.0
        self._early = False  # `deadline` is when a window should be answered, not when to lose patience
        self._again = False  # what is in flight was sent more than once
        self._short = False  # the client told that it has not all of the last window

    def start(self, now: float) -> Burst | bytes:
        """The first thing to send: the OACK, or block 1."""
        self._progress_at = now
        return self._send(now)

    def run(self) -> int:
        """How many blocks may be sent without asking `ack`, a window of them for each ACK of the window
        before, while nothing is lost. Then tell `ran`, before anything else. What a window is resent for, and
        its last one, are not in it."""
        if self.done or not self.answered or self._acked < 0 or self._again or self._early:
            return 0
        if self._window == 1:
            return self.last - self._sent
        if self._sent - self._acked < self._window:
            return 0
        return max(0, self.last - 1 - self._sent) // self._window * self._window

    def ran(self, blocks: int, now: float) -> None:
        """So many were sent, the last one at `now`. (The ACK after a run is timed: often enough.)"""
        self._acked += blocks
        self._sent += blocks
        self._sent_at = self._progress_at = now
        self._clock.progressed()
        self.deadline = now + self._clock.wait

    def ack(self, number: int, now: float) -> Burst | None:
        """An ACK came."""
        if self._acked < 0:
            if number:
                return None
            step = 1
        else:
            step = self._step(number)
            if step > self._sent - self._acked:
                return None  # older than what we know
            self._short = self._window > 1 and self._sent == self.last
        if not step:
            self._repeated(now)
            return None
        complete = self._acked + step >= self._sent
        if complete and not self._again:
            self._clock.measured(now - self._sent_at)
        else:
            self._clock.progressed()
        self._acked += step
        self._progress_at = now
        self.answered = True
        if self._acked == self.last:
            self.done = True
            return None
        if complete:
            self._again = False
            return self._blocks(now)
        self._recover(now)
        return None

    def asked_again(self, now: float) -> Burst | bytes | None:
        """The client repeated its request, so our first answer was lost, or only slow."""
        if self.answered:
            return None
        self._progress_at = now  # it is alive and patient
        if now - self._sent_at < ECHO:
            return None
        self._again = True
        return self._send(now)

    def tick(self, now: float) -> Burst | bytes | None:
        """`deadline` has come: send again, or give up."""
        if now < self.deadline or self.done or self.failed:
            return None
        if now - self._progress_at >= self._patience():
            self._end()
            return None
        if not self._early:
            self._clock.expired()
            self._try_other_rollover()
        self._again = True
        return self._send(now)

    def gone(self, reason: str) -> None:
        """The client's port is closed, or it sent an ERROR."""
        if self._sent == self.last and self._acked > 0:
            self.done = True  # it had everything, or its ACK was lost: nobody is left to tell
        else:
            self.failed = reason

    @property
    def acked_bytes(self) -> int:
        """How many bytes are known to have arrived, at most the size rounded up to a block."""
        return max(0, self._acked) * self.terms.blksize

    def number(self, block: int) -> int:
        """The number of a block on the wire."""
        return (block - 1) % 65535 + 1 if self.rollover and block else block & 0xFFFF

    def foreseen(self) -> Burst | None:
        """What the ACK of all that is in flight will be answered with; None: with nothing, or it is not to be
        foreseen."""
        left = self.last - self._sent
        if self._acked < 0 or left <= 0:
            return None
        return Burst(self._sent + 1, min(self._window, left))

    def ahead(self, first: int, most: int) -> list[int]:
        """The numbers on the wire of the blocks from `first` on, at most so many."""
        return self.numbers(first, min(most, self.last - first + 1))

    def numbers(self, first: int, count: int) -> list[int]:
        """The numbers of consecutive blocks on the wire."""
        if self.rollover or (first & 0xFFFF) + count > 65536:
            return [self.number(block) for block in range(first, first + count)]
        start = first & 0xFFFF
        return list(range(start, start + count))

    def _step(self, number: int) -> int:
        """How many blocks an ACK is ahead of the highest acknowledged one."""
        if not self.rollover:
            return (number - self._acked) & 0xFFFF
        return (number - self.number(self._acked)) % 65535 if number else 65535

    def _repeated(self, now: float) -> None:
        """The first block of a window was lost, or this is an echo of the last ACK: the time when the whole
        window should have been answered tells which. In lockstep only the clock decides."""
        if self._window > 1 and self._sent > self._acked:
            self._recover(now)

    def _recover(self, now: float) -> None:
        self.deadline = min(self.deadline, max(now, self._sent_at + self._clock.soon))
        self._early = True

    def _send(self, now: float) -> Burst | bytes:
        if self._acked >= 0:
            return self._blocks(now)
        self._sent_at, self._early = now, False
        self.deadline = now + self._clock.wait
        return build(Oack(self.terms.accepted))

    def _blocks(self, now: float) -> Burst:
        first = self._acked + 1
        count = min(self._window, self.last - self._acked)
        if first <= self._sent:
            self._again = True
            self.resent += self._sent - self._acked
        self._sent = self._acked + count
        self._sent_at, self._early = now, False
        self.deadline = now + self._clock.wait
        return Burst(first, count)

    def _patience(self) -> float:
        if not self.answered:
            return GIVE_UP_FIRST
        return GIVE_UP_LAST if self._has_all() else GIVE_UP

    def _has_all(self) -> bool:
        """Whether a client that is silent now has the whole file, by all that is known."""
        return self.answered and self._sent == self.last and not self._short

    def _try_other_rollover(self) -> None:
        """The client does not move on from 65535, so it may count the other way."""
        if self._acked == 65535 and self._again:
            self.rollover ^= 1

    def _end(self) -> None:
        if self._has_all():
            self.done = True
        else:
            self.failed = "no answer from the client"
