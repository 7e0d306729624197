"""Which node a DHCP client is, kept in memory for as long as nothing about any node changes.

The law: a change in the registry is true for the next packets that are read. Whether there was one is asked
by `look`, once for each batch of packets; all that was kept is dropped then.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from ipaddress import IPv4Address
from typing import Any

from bootsrv.model import AddressMethod, Node, NodeState
from bootsrv.registry.identities import KINDS
from bootsrv.registry.registry import Registry
from pxe.dhcp.ports import Client, Host

MOST = 4096  # nodes kept; a machine's OFFER and ACK are milliseconds apart
MOST_STRANGERS = 50_000  # clients kept of which it is known that they are no node
BLOCK = 10  # bits: registered addresses are read in ranges of 1024
MAKER = len("52:54:00")  # how much of a MAC names the maker of the card

Key = tuple[object, ...]


class KnownNodes:
    """Used by one thread. Raises OSError when the registry cannot be read."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._changes: tuple[int, int] | None = None
        self._revision = -1
        self._nodes: dict[Key, Node] = {}
        self._strangers: set[Key] = set()
        self._kinds: frozenset[str] | None = None  # of identities, that any node has
        self._hosts: dict[int, Host] = {}  # by node
        self._addresses: dict[int, frozenset[int]] = {}  # by range
        self._names: dict[str, bool] = {}
        self._makers: dict[str, bool] = {}  # whether any node has a card of theirs

    def node(self, client: Client) -> Node | None:
        """Who asks. An identity that somebody set by hand says more than a MAC."""
        key = (client.mac, client.client_id, client.uuid, client.circuit_id, client.remote_id)
        if key in self._strangers:
            return None
        node = self._nodes.get(key)
        if node is None:
            if len(self._nodes) >= MOST or len(self._strangers) >= MOST_STRANGERS:
                self._forget()
            node = self._find(client)
            if node is not None:
                self._nodes[key] = node
            else:
                self._strangers.add(key)
        return node

    def host(self, client: Client) -> Host | None:
        """What DHCP is to know of the node that asks; None when nobody registered it."""
        node = self.node(client)
        return None if node is None or node.state is NodeState.DISCOVERED else self._host(node)

    def options(self, node: Node) -> Mapping[str, Any]:
        """The options of a node: its groups', and its own over them."""
        return self._host(node).options

    def _host(self, node: Node) -> Host:
        host = self._hosts.get(node.id)
        if host is None:
            options = {**self._registry.nodes.group_options(node.groups), **node.options}
            address = None if node.method is AddressMethod.DYNAMIC else node.address
            host = self._hosts[node.id] = Host(node.name, address, options)
        return host

    def reserved(self, address: IPv4Address) -> bool:
        """Whether a registered node has this address."""
        number = int(address)
        block = number >> BLOCK
        taken = self._addresses.get(block)
        if taken is None:
            if len(self._addresses) >= MOST:
                self._forget()
            low = block << BLOCK
            taken = self._addresses[block] = frozenset(
                self._registry.search.addresses(low, low + (1 << BLOCK) - 1)
            )
        return number in taken

    def named(self, name: str) -> bool:
        """Whether a registered node has this name."""
        if name not in self._names:
            if len(self._names) >= MOST:
                self._forget()
            self._names[name] = self._registry.nodes.by_name(name) is not None
        return self._names[name]

    def look(self) -> None:
        """Look whether what was kept is still true."""
        changes = self._registry.changes()
        if changes == self._changes:
            return
        revision = self._registry.nodes.hosts_revision()
        if revision != self._revision:
            self._forget()
        self._changes, self._revision = changes, revision

    def _forget(self) -> None:
        self._nodes.clear()
        self._strangers.clear()
        self._kinds = None
        self._hosts.clear()
        self._addresses.clear()
        self._names.clear()
        self._makers.clear()

    def _find(self, client: Client) -> Node | None:
        if self._kinds is None:
            self._kinds = frozenset(kind for kind in KINDS if self._registry.identities.any(kind))
        known = [(kind, value) for kind, value in identities_of(client) if kind in self._kinds]
        number = self._registry.identities.node_of(known)
        node = self._registry.nodes.get(number) if number is not None else None
        if node is None and self._is_made_by_one_of_ours(client.mac):
            number = self._registry.nodes.id_of_mac(client.mac)
            node = self._registry.nodes.get(number) if number is not None else None
        return node

    def _is_made_by_one_of_ours(self, mac: str) -> bool:
        """Whether a node has a card of this maker. Most strangers' cards are of others: after the first of
        them, they cost no look into the registry."""
        maker = mac[:MAKER]
        if maker not in self._makers:
            if len(self._makers) >= MOST:
                self._forget()
            self._makers[maker] = self._registry.search.has_card_of(maker)
        return self._makers[maker]


def identities_of(client: Client) -> Iterator[tuple[str, str]]:
    """What a client says of itself beside its MAC, in the order in which they count."""
    if client.client_id:
        yield "client-id", client.client_id.hex()
    if client.uuid:
        yield "uuid", client.uuid
    if client.circuit_id:
        yield "circuit-id", client.circuit_id.hex()
    if client.remote_id:
        yield "remote-id", client.remote_id.hex()
