"""How an agent waits: a UDP socket on which the server can ring, and otherwise a pause that the server names.

So thousands of machines wait without a connection held open, and an order is still there at once. A ring says
nothing but "ask": it is believed when it is the one of this machine, and even then not twice in a second.
Where a firewall keeps it out, the pause is what it takes. Python 3.8, standard library only.
"""

from __future__ import annotations

import hmac
import random
import select
import socket
import time

FASTEST = 1.0  # seconds between two questions
SPREAD = 0.2  # of the pause: machines that were switched on together do not ask together


class Bell:
    """`port` is where it rings; `ring` is what is believed."""

    def __init__(self, ring: bytes) -> None:
        self._ring = ring
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("", 0))
        self._socket.setblocking(False)
        self.port = int(self._socket.getsockname()[1])

    def wait(self, pause: float) -> bool:
        """Whether it rang within `pause` seconds, more or less."""
        time.sleep(FASTEST)
        ends = time.monotonic() + pause * random.uniform(1 - SPREAD, 1 + SPREAD) - FASTEST  # noqa: S311
        while True:
            left = ends - time.monotonic()
            if left <= 0:
                return False
            if select.select([self._socket], [], [], left)[0] and self._rung():
                return True

    def _rung(self) -> bool:
        try:
            return hmac.compare_digest(self._socket.recv(256), self._ring)
        except OSError:
            return False

    def close(self) -> None:
        """Lets go of the port."""
        self._socket.close()
