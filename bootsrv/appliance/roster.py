"""The verbs that look at many nodes at once, a page at a time: what a list on a screen needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

from bootsrv.model import Node, NodeState
from bootsrv.registry.registry import Registry

MAX_WORDS = 8


@dataclass(frozen=True, slots=True)
class Page:
    """Some of the nodes that were asked for, and how many there are in all."""

    nodes: Sequence[Node]
    total: int


class Roster:
    """Verbs on the list of nodes."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def page(self, text: str = "", state: NodeState | None = None, limit: int = 100, offset: int = 0) -> Page:
        """Registered nodes by name whose name, MAC, group or address matches every word of `text`."""
        nodes, total = self._registry.search.page(text.split()[:MAX_WORDS], state, limit, offset)
        return Page(nodes, total)

    def unknown(self, limit: int = 50) -> Page:
        """Machines that were seen and that nobody registered yet; the last seen first."""
        total = self._registry.nodes.count().get(NodeState.DISCOVERED, 0)
        return Page(self._registry.search.unknown(limit), total)

    def waiting(self, limit: int = 200) -> Sequence[Node]:
        """Registered names that wait for a machine, as `add_range` leaves them."""
        return self._registry.search.waiting(limit)

    def taken(self, network: IPv4Network) -> set[IPv4Address]:
        """The addresses of a network that are registered."""
        low, high = int(network.network_address), int(network.broadcast_address)
        return {IPv4Address(number) for number in self._registry.search.addresses(low, high)}

    def tally(self) -> Mapping[NodeState, int]:
        """How many nodes are in each state."""
        counts = self._registry.nodes.count()
        return {state: counts.get(state, 0) for state in NodeState}

    def image_use(self) -> Mapping[str, int]:
        """How many nodes are meant to have each image, whatever version or tag they name."""
        used: dict[str, int] = {}
        for ref, count in self._registry.search.image_use().items():
            name = ref.partition("@")[0]
            used[name] = used.get(name, 0) + count
        return used
