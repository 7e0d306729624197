"""Which root a machine may have: what the exporters ask before they hand anything out.

The evidence is the same as for boot scripts (`rightful`): our lease of the address, else the kernel's
neighbour entry, else, behind a router, the registered address. The law: a root is for a registered node that
was handed it at its last boot, in the kind it was handed, and for nobody else. `asked` of an address costs a
few look-ups in the registry: ask once for each connection, not for each request.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from bootsrv.errors import BootsrvError
from bootsrv.model import BootMode, Node, NodeState, Root, RootKind
from bootsrv.peers import Peers
from bootsrv.registry.registry import Registry
from bootsrv.rightful import Claim, Rightful, Standing
from images.versions import Version


class NotShared(BootsrvError):
    """This peer may not have this root; the text says why, for the server's log."""


class Resolver(Protocol):
    """What is asked of `appliance.images.Images`."""

    def resolve(self, ref: str) -> Version: ...


@dataclass(frozen=True, slots=True)
class Share:
    """What one node may have: `image` (NAME@NUMBER) read only, and a place to write as `root` says."""

    node: Node
    image: str
    root: Root


class Shares:
    """Answers for a peer's address. Not shared between threads. Raises OSError when the registry cannot be
    read."""

    def __init__(self, registry: Registry, peers: Peers, clock: Callable[[], float] = time.time) -> None:
        self._registry, self._peers = registry, peers
        self._rightful = Rightful(registry, peers, clock)
        self._clock = clock

    def asked(self, peer: str, kind: RootKind | None = None) -> Share:
        """The root of the node at `peer` (an IPv4 address), in whatever kind or in this one. Raises
        NotShared."""
        mac = self._peers.mac_of(peer, self._clock())
        node = self._registry.machine(mac) if mac is not None else None
        if node is None or node.state is NodeState.DISCOVERED or mac is None:
            raise NotShared(f"{peer} is the address of no registered node")
        claim = Claim(peer, {mac, *node.macs}, node)
        if self._rightful.standing(claim) is not Standing.OWN:
            self._rightful.refuse(claim, "root")
            raise NotShared(f"{peer} is registered as {node.name}'s, and another machine has it")
        share = self.of(node)
        if share is None:
            raise NotShared(f"{node.name} ({peer}) was not booted diskless")
        if kind is not None and share.root.kind is not kind:
            raise NotShared(f"{node.name} ({peer}) has its root by {share.root.kind}, not by {kind}")
        return share

    def of(self, node: Node) -> Share | None:
        """The root a node was handed at its last boot."""
        if node.rooted is None:
            return None
        return Share(node, node.rooted.image, node.rooted.root)


def in_use(nodes: Iterable[Node], images: Resolver) -> dict[tuple[str, RootKind], list[Node]]:
    """(NAME@NUMBER, kind) of every root that a node has now or gets at its next boot, and whose: what
    exporters keep ready. An image that is gone is left out."""
    found: dict[tuple[str, RootKind], list[Node]] = {}
    for node in nodes:
        wanted = {(node.rooted.image, node.rooted.root.kind)} if node.rooted is not None else set()
        if node.boots is BootMode.DISKLESS and node.image is not None:
            try:
                wanted.add((images.resolve(node.image).ref, node.root.kind))
            except BootsrvError:
                pass
        for key in wanted:
            found.setdefault(key, []).append(node)
    return found
