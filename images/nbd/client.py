"""One client of the block device: its socket, its handshake, and what it has been up to.

The requests after the handshake are transmission.py's. Nothing here blocks: what takes time is asked of the
server (`House`), whose threads do it, and comes back as a call.
"""

from __future__ import annotations

import socket
from typing import Protocol

from images.nbd import wire
from images.nbd.outbox import Outbox
from images.nbd.session import Asked, Session
from images.nbd.transmission import Threads, Transmission

READ, LITTLE = 64 << 10, 2 << 10  # bytes taken at once; from who asks one question after the other
MOST_WAITING = 1024  # requests of one client that are not answered yet, before no more are read


class House(Threads, Protocol):
    """What a client needs of its server."""

    def asked(self, client: Client, asked: Asked) -> None:
        """Find out whether it may; then set `transmission` and call `decided`, or close it."""


class Client:
    """`peer` is its IP address."""

    def __init__(self, sock: socket.socket, peer: str, house: House) -> None:
        self.sock, self.peer, self._house = sock, peer, house
        self.session = Session()
        self.out = Outbox(sock)
        self.name = ""
        self.transmission: Transmission | None = None
        self.since, self.ref = 0.0, ""
        self.deciding = False
        self._over = False
        self._read = LITTLE
        self.out.add(wire.greeting())

    @property
    def ended(self) -> bool:
        """Whether no more is read from it."""
        return self._over or (self.transmission is not None and self.transmission.ended)

    @property
    def hungry(self) -> bool:
        """Whether more may be read from it now."""
        if self.ended or self.deciding:
            return False
        waiting = self.transmission.waiting if self.transmission is not None else 0
        return waiting + len(self.out) < MOST_WAITING

    @property
    def done(self) -> bool:
        """Whether it can be closed: all is answered."""
        waiting = self.transmission.waiting if self.transmission is not None else 0
        return self.ended and not self.out and not waiting

    def readable(self) -> None:
        """Read and answer. Raises WireError or OSError: close it."""
        try:
            data = self.sock.recv(READ)
        except BlockingIOError:
            return
        if not data:
            self._over = True
        elif self.transmission is not None:
            self.transmission.take(data)
        else:
            self._send(self.session.feed(data))

    def quick(self) -> bool:
        """Read and answer, after the handshake; False when more is to be looked after than that."""
        transmission = self.transmission
        if transmission is None or transmission.waiting or self.out or self._over:
            return False
        try:
            data = self.sock.recv(self._read)
        except BlockingIOError:
            return True
        if not data:
            self._over = True
            return False
        self._read = READ if len(data) == self._read else LITTLE
        transmission.take(data)
        return not self.out and not transmission.ended

    def decided(self, result: tuple[bytes, Asked | None]) -> None:
        """What the session says to the server's answer."""
        self.deciding = False
        self._send(result)
        if self.session.export is not None and self.transmission is not None:
            self.transmission.take(self.session.rest())

    def _send(self, result: tuple[bytes, Asked | None]) -> None:
        data, asked = result
        self.out.add(data)
        if self.session.ended:
            self._over = True
        elif asked is not None:
            self.name, self.deciding = asked.name, True
            self._house.asked(self, asked)
