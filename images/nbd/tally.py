"""What the server is up to, counted: for who tells people."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from images.nbd.client import Client
from images.nbd.transmission import Counts


class Tally:
    """Counts by version include clients that have left."""

    def __init__(
        self, clients: Callable[[], Iterable[Client]], cached: Callable[[], Mapping[str, int]]
    ) -> None:
        self._clients, self._cached = clients, cached
        self._past: dict[str, Counts] = {}

    def left(self, client: Client) -> None:
        """Its counts are kept."""
        assert client.transmission is not None
        counts, past = client.transmission.counts, self._past.setdefault(client.ref, Counts())
        past.reads, past.misses = past.reads + counts.reads, past.misses + counts.misses
        past.read_bytes += counts.read_bytes

    def clients(self) -> list[tuple[str, str, float, int, int, int, int]]:
        """(address, export, since, bytes read, bytes written, reads, misses) of each that has an export."""
        rows = []
        for client in self._clients():
            if client.transmission is not None:
                counts = client.transmission.counts
                row = counts.read_bytes, counts.written_bytes, counts.reads, counts.misses
                rows.append((client.peer, client.name, client.since, *row))
        return rows

    def versions(self) -> dict[str, tuple[int, int, int, int]]:
        """By NAME@NUMBER: bytes read, reads and misses since the start, bytes in the cache."""
        totals = {ref: (row.read_bytes, row.reads, row.misses) for ref, row in self._past.items()}
        for client in self._clients():
            if client.transmission is not None:
                row, past = client.transmission.counts, totals.get(client.ref, (0, 0, 0))
                totals[client.ref] = past[0] + row.read_bytes, past[1] + row.reads, past[2] + row.misses
        cached = self._cached() if totals else {}
        return {ref: (*row, cached.get(ref, 0)) for ref, row in totals.items()}
