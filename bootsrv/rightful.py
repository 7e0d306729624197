"""Is the peer of a request the machine it asks for? Boot scripts carry tokens and answer files carry secrets,
and any machine on a boot network could ask for another one's.

Evidence, in its order: our lease of the peer's address to one of the machine's cards; the kernel's neighbour
entry, which every TCP connection from the same network needs (RFC 826); and for a machine behind a router,
which has no such entry, its registered address or what its last DHCP exchange named. The law: without
evidence nothing is handed out, and a request that is refused changes nothing but the record of it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from enum import Enum, auto
from ipaddress import AddressValueError, IPv4Address

from bootsrv.model import Node
from bootsrv.peers import Peers
from bootsrv.registry.registry import Registry

PATIENCE = 10.0  # seconds; leases and DHCP steps reach the registry some time after the answer has left
TELL_SECONDS, MOST_TOLD = 60.0, 1000  # one refusal of a kind is recorded once a minute


class Standing(Enum):
    """What the evidence says."""

    OWN = auto()
    FOREIGN = auto()
    UNCLEAR = auto()  # nothing is known of this address yet


@dataclass(frozen=True, slots=True)
class Claim:
    """Who says to be which machine. `macs`: every card of the machine; `waited`: seconds since it asked."""

    peer: str
    macs: Collection[str]
    node: Node | None
    waited: float = 0.0


class Rightful:
    """Judges claims. Not shared between threads."""

    def __init__(self, registry: Registry, peers: Peers, clock: Callable[[], float] = time.time) -> None:
        self._registry, self._peers, self._clock = registry, peers, clock
        self._told: dict[tuple[str, int, str], float] = {}

    def standing(self, claim: Claim) -> Standing:
        """What is known now; UNCLEAR only while it is worth to ask again."""
        try:
            address = IPv4Address(claim.peer)
        except AddressValueError:
            return Standing.FOREIGN
        if address.is_loopback:
            return Standing.FOREIGN
        holder = self._registry.leases.holder(address, self._clock())
        if holder in claim.macs:
            return Standing.OWN
        neighbour = self._peers.neighbour(claim.peer)
        if neighbour in claim.macs or (neighbour is None and self._routed(claim, address)):
            return Standing.OWN
        early = holder is None and claim.waited < PATIENCE
        return Standing.UNCLEAR if early else Standing.FOREIGN

    def _routed(self, claim: Claim, address: IPv4Address) -> bool:
        """Evidence for a machine on another network, where no neighbour entry can be."""
        if claim.node is not None and claim.node.address == address:
            return True
        return any(self._registry.events.dhcp_named(mac, address) for mac in claim.macs)

    def refuse(self, claim: Claim, wanted: str) -> None:
        """Put a refusal on the record of the machine that was asked for."""
        now, number = self._clock(), claim.node.id if claim.node is not None else 0
        if now - self._told.get((claim.peer, number, wanted), float("-inf")) < TELL_SECONDS:
            return
        if len(self._told) >= MOST_TOLD:
            self._told.clear()
        self._told[claim.peer, number, wanted] = now
        who = self._peers.mac_of(claim.peer, now)
        text = f"{claim.peer}{f' ({who})' if who else ''} asked for the {wanted} of this machine: refused"
        if claim.node is None:
            text = text.replace("this machine", ", ".join(claim.macs))
        data = {"address": claim.peer, "by": who}
        # Without a MAC: a stranger's request is no step of this machine's boot.
        self._registry.events.add(now, "alarm.foreign", text, None, number or None, data)
