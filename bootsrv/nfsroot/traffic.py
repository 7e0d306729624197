"""How much went to each client since the exporter began: what its connections of now and before add up to.
Pure."""

from __future__ import annotations

from collections.abc import Iterable

from bootsrv.nfsroot.status import Traffic
from images.nfs.connections import Connection

MOST = 10_000  # clients remembered


class Counter:
    """Told of the connections now and then."""

    def __init__(self) -> None:
        self._open: dict[tuple[str, int], tuple[int, int]] = {}
        self._total: dict[str, tuple[int, int]] = {}

    def see(self, connections: Iterable[Connection]) -> None:
        """The connections of this moment."""
        found: dict[tuple[str, int], tuple[int, int]] = {}
        for one in connections:
            key = one.client, one.port
            was = self._open.get(key, (0, 0))
            if one.sent < was[0] or one.received < was[1]:  # another connection from the same port
                was = (0, 0)
            sent, received = self._total.get(one.client, (0, 0))
            if one.client in self._total or len(self._total) < MOST:
                self._total[one.client] = sent + one.sent - was[0], received + one.received - was[1]
            found[key] = one.sent, one.received
        self._open = found

    def now(self) -> tuple[Traffic, ...]:
        """By address."""
        connected = {client for client, _ in self._open}
        return tuple(
            Traffic(client, client in connected, sent, received)
            for client, (sent, received) in sorted(self._total.items())
        )
