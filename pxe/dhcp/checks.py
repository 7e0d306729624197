"""Offers that wait until it is known whether somebody already uses the address.

RFC 2131 section 3.1 item 2: a server should look before it offers. Each offer waits by itself (a client that
asks meanwhile is not slowed by another's wait) and leaves after `seconds` of silence. The law: whatever is
heard or not heard, each offer that was held comes back exactly once, as free or as taken.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from pxe.dhcp.inuse import Echo
from pxe.dhcp.outcome import Outcome
from pxe.dhcp.sockets import Port
from pxe.dhcp.wire import NO_ADDRESS, Packet
from pxe.dhcp.zones import Arrival

MOST = 4096  # offers held at once; above this they leave unchecked, for a flood must not silence us


@dataclass(slots=True)
class Held:
    """An offer and what it answers. `taken_by`: the MAC that was heard, empty when it is not known."""

    port: Port
    packet: Packet
    arrival: Arrival
    outcome: Outcome
    ends: float = 0.0
    taken_by: bytes | None = None
    tries: int = 1  # addresses looked at for this client so far


class Checks:
    """One per server. `free` and `taken` are called in the event loop."""

    def __init__(
        self, seconds: float, free: Callable[[list[Held]], None], taken: Callable[[Held], None]
    ) -> None:
        self._seconds = seconds
        self._free, self._taken = free, taken
        self._held: dict[int, Held] = {}
        self._queue: deque[tuple[float, int]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._echo: Echo | None = None

    def hold(self, held: Held) -> bool:
        """Ask for the address and keep the offer; False: it cannot be asked for, send it as it is."""
        address = held.outcome.check
        assert address is not None
        number = int(address)
        waiting = self._held.get(number)
        if waiting is not None:
            # The client repeats itself, perhaps under a new transaction: it listens for the newest only.
            waiting.port, waiting.packet, waiting.arrival = held.port, held.packet, held.arrival
            waiting.outcome = held.outcome
            return True
        if not self._seconds or len(self._held) >= MOST:
            return False
        try:
            if held.packet.giaddr == NO_ADDRESS:
                held.port.arp.ask(address)
            else:
                self._behind_relay().ask(address)
        except OSError:  # no route, no carrier: nobody can be asked, and nobody can answer
            return False
        loop = asyncio.get_running_loop()
        held.ends = loop.time() + self._seconds
        self._held[number] = held
        self._queue.append((held.ends, number))
        if self._timer is None:
            self._timer = loop.call_at(held.ends, self._silence)
        return True

    def hear(self, source: Port | Echo) -> None:
        """Packets wait at the socket of an interface, or at that for echoes."""
        for number, mac in (source if isinstance(source, Echo) else source.arp).heard():
            held = self._held.get(number)
            # The client itself may still answer from the program it ran before.
            if held is not None and (not mac or mac != held.packet.chaddr):
                del self._held[number]
                held.taken_by = mac
                self._taken(held)

    def _behind_relay(self) -> Echo:
        if self._echo is None:
            self._echo = Echo()
            asyncio.get_running_loop().add_reader(self._echo.socket.fileno(), self.hear, self._echo)
        return self._echo

    def _silence(self) -> None:
        """Those whose time is up are free; all in one batch."""
        loop = asyncio.get_running_loop()
        now = loop.time() + 0.001
        free = []
        while self._queue and self._queue[0][0] <= now:
            ends, number = self._queue.popleft()
            held = self._held.get(number)
            if held is not None and held.ends == ends:
                free.append(self._held.pop(number))
        self._timer = loop.call_at(self._queue[0][0], self._silence) if self._queue else None
        if free:
            self._free(free)

    def close(self) -> None:
        """Forget what is held, and close; safe to call twice."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._echo is not None:
            asyncio.get_running_loop().remove_reader(self._echo.socket.fileno())
            self._echo.socket.close()
            self._echo = None
        self._held.clear()
        self._queue.clear()
