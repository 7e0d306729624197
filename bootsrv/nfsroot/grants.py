"""Which machine may mount which root over NFS, by its address: what the registry says now.

An NFS server asks nobody when a machine comes, so it must know before. The law: an address is granted to a
registered node that was handed a root over NFS at its last boot, on the evidence that boot scripts need
(`rightful`); a grant stays for that boot unless another machine is seen at the address, because a running
machine whose root goes away is lost. What was granted is kept over restarts for the same reason.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from ipaddress import IPv4Address
from typing import Any

from bootsrv.model import Node, NodeState, RootKind
from bootsrv.peers import Peers
from bootsrv.registry.registry import Registry
from bootsrv.rightful import Claim, Rightful, Standing


@dataclass(frozen=True, slots=True)
class Grant:
    """`address` may mount `image` (NAME@NUMBER) since the boot at `at`, and write when `writes`; `limit` in
    bytes, None: the default."""

    node: int
    name: str
    address: str
    image: str
    at: float
    writes: bool
    limit: int | None

    @classmethod
    def read(cls, row: Mapping[str, Any]) -> Grant:
        """From its record. Raises TypeError for another shape."""
        return cls(**row)

    def record(self) -> dict[str, Any]:
        return asdict(self)


class Grants:
    """Not shared between threads. Raises OSError when the registry cannot be read."""

    def __init__(
        self,
        registry: Registry,
        peers: Peers,
        before: Iterable[Grant] = (),
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._registry, self._peers, self._clock = registry, peers, clock
        self._rightful = Rightful(registry, peers, clock)
        self._held = {(grant.node, grant.address): grant for grant in before}

    def now(self, nodes: Iterable[Node]) -> list[Grant]:
        """All grants, by address."""
        held: dict[tuple[int, str], Grant] = {}
        for node in nodes:
            rooted = node.rooted
            if rooted is None or rooted.root.kind is not RootKind.NFS or node.state is NodeState.DISCOVERED:
                continue
            for address in self._addresses(node):
                grant = Grant(
                    node.id, node.name or f"#{node.id}", address, rooted.image, rooted.at,
                    rooted.root.writes.stay, rooted.root.limit,
                )  # fmt: skip
                if self._good(grant, node):
                    held[grant.node, address] = grant
        self._held = held
        return sorted(held.values(), key=lambda grant: IPv4Address(grant.address))

    def _addresses(self, node: Node) -> list[str]:
        """Where it may be: its registered address, its leases, and where it was granted before."""
        now = self._clock()
        found = {str(node.address)} if node.address is not None else set()
        leases = (self._registry.leases.of_mac(mac, now) for mac in node.macs)
        found |= {str(lease) for lease in leases if lease is not None}
        found |= {address for number, address in self._held if number == node.id}
        return sorted(found)

    def _good(self, grant: Grant, node: Node) -> bool:
        standing = self._rightful.standing(Claim(grant.address, set(node.macs), node))
        if standing is Standing.OWN:
            return True
        before = self._held.get((grant.node, grant.address))
        return before is not None and before.at == grant.at and not self._taken(grant.address, node)

    def _taken(self, address: str, node: Node) -> bool:
        holder = self._registry.leases.holder(IPv4Address(address), self._clock())
        seen = (holder, self._peers.neighbour(address))
        return any(mac is not None and mac not in node.macs for mac in seen)
