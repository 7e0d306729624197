"""Node names by id for a page or a stream, each looked up once in a while instead of at every event."""

from __future__ import annotations

import time

from bootsrv.appliance.appliance import Appliance

FRESH = 2.0  # seconds a name is believed without looking again


class Names:
    """Not for several threads at once: every page has its own."""

    def __init__(self, house: Appliance) -> None:
        self._house = house
        self._known: dict[int, tuple[str | None, float]] = {}

    def of(self, node: int | None) -> str | None:
        """The node's name; None while it has none, or when it is gone."""
        if node is None:
            return None
        name, until = self._known.get(node, (None, 0.0))
        if time.monotonic() >= until:
            found = self._house.registry.nodes.get(node)
            name = found.name if found is not None else None
            self._known[node] = (name, time.monotonic() + FRESH)
        return name
