"""The socket on port 69: requests come in here, and short refusals go out beside it.

Bound to a wildcard, it still answers from the address that was asked (IP_PKTINFO), and ignores what came by
broadcast (RFC 1123 §4.2.3.5). Refusals leave from one shared socket: a not-found costs no transfer.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import Any

from pxe.sockets import Listen, bind, destination, source, want_destination
from pxe.tftp.wire import Error, build

_IP_MTU, _IPV6_MTU = 14, 24
_BUFFER = 1 << 20  # bytes; a rack that is switched on asks all at once


@dataclass(frozen=True, slots=True)
class Asked:
    """One datagram on a listening socket."""

    raw: bytes
    peer: tuple[Any, ...]  # socket address
    local: str  # our address that it was sent to


class Listener:
    """One listening socket and its socket for refusals."""

    def __init__(self, place: Listen) -> None:
        """Opens the sockets; OSError, with the address in its text, when that fails."""
        self._place = place
        self._wildcard = place.wildcard
        try:
            self._sock = bind(place, socket.SOCK_DGRAM)
        except OSError as error:
            text = f"TFTP on {place.address} port {place.port}: {error.strerror}"
            raise OSError(error.errno, text) from error
        try:
            self._refusals = bind(place, socket.SOCK_DGRAM, port=0)
        except OSError:
            self._sock.close()
            raise
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
        if self._wildcard:
            want_destination(self._sock)
        self.bound: tuple[str, int] = self._sock.getsockname()[:2]

    def fileno(self) -> int:
        """For the event loop."""
        return self._sock.fileno()

    def close(self) -> None:
        """Stop listening."""
        self._sock.close()
        self._refusals.close()

    def receive(self) -> Asked | None:
        """The next datagram. Raises BlockingIOError when there is none; None: one that must not be
        answered."""
        raw, control, _, peer = self._sock.recvmsg(2048, 256)
        local = destination(control) if self._wildcard else self._place.address
        return None if local is None or not peer[1] else Asked(raw, peer, local)

    def refuse(self, asked: Asked, error: Error) -> None:
        """Answer a request with an ERROR. Never raises: it is as good as lost then."""
        control = source(asked.local) if self._wildcard else []
        try:
            self._refusals.sendmsg([build(error)], control, 0, asked.peer)
        except OSError:
            return  # unreachable or full buffer: the client asks again

    def connect(self, asked: Asked) -> socket.socket:
        """A socket of its own for a transfer with this peer. Raises OSError (out of descriptors,
        unreachable)."""
        sock = bind(self._place, socket.SOCK_DGRAM, asked.local, 0)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER)
            sock.connect(asked.peer)
        except OSError:
            sock.close()
            raise
        return sock


def largest_block(sock: socket.socket) -> int:
    """The largest block that reaches the peer of a connected socket unfragmented, as far as the kernel
    knows."""
    if sock.family == socket.AF_INET6:
        return sock.getsockopt(socket.IPPROTO_IPV6, _IPV6_MTU) - 48 - 4
    return sock.getsockopt(socket.IPPROTO_IP, _IP_MTU) - 28 - 4
