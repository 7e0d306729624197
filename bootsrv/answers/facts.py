"""What the registry knows of a node, as the lowest layer of its profile and as variables of the templates.

The lowest layer makes a profile that says nothing of the network right for every node: its name, its keys,
and the address method that it was registered with.
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Address, IPv4Interface
from typing import Any

from bootsrv import sshkey
from bootsrv.config import Config
from bootsrv.model import AddressMethod, Node, NodeState
from bootsrv.registry.registry import Registry
from bootsrv.tasks import place_of
from pxe.answers.targets import Dialect, Target

_BY_MAC = {"fedora": 12, "rhel": 6}  # since then Anaconda knows a card by its MAC


def example(config: Config) -> Node:
    """A node that nobody has, for profiles that no node uses yet."""
    subnet = next(iter(config.subnets), None)
    address = subnet.cidr.network_address + min(10, subnet.cidr.num_addresses - 1) if subnet else None
    return Node(
        id=0, name="example", macs=("02:00:00:00:00:01",), state=NodeState.REGISTERED,
        address=address or IPv4Address("192.0.2.10"), method=AddressMethod.RESERVED,
    )  # fmt: skip


class Facts:
    """Of one node. `server`: our address as the node sees it, "" when that is not known."""

    def __init__(self, node: Node, config: Config, registry: Registry, server: str) -> None:
        self._node, self._config, self._server = node, config, server
        self._place = place_of(node, config, registry, server)

    def variables(self) -> dict[str, Any]:
        """`node.name`, `node.fqdn`, `node.address`, ..., `server.address`, `server.url`. What is not known is
        not there, so that a template that wants it is an error."""
        node, place = self._node, self._place
        given = {
            "name": node.name,
            "fqdn": self._fqdn(),
            "domain": place["domain"],
            "address": str(node.address) if node.address is not None else None,
            "method": str(node.method),
            "mac": node.macs[0] if node.macs else None,
            "macs": list(node.macs),
            "groups": list(node.groups),
            "options": dict(node.options),
            "gateway": place["gateway"],
            "name_servers": place["dns"],
            "search": place["search"],
            "disk": node.disk,
            **self._network(),
        }
        found: dict[str, Any] = {"node": {name: value for name, value in given.items() if value is not None}}
        found["nodes"] = {"ssh_authorized_keys": list(self._config.nodes.ssh_authorized_keys)}
        if self._server:
            url = f"http://{self._server}:{self._config.http.port}"
            found["server"] = {"address": self._server, "url": url}
        return found

    def layer(self, target: Target) -> Mapping[str, Any]:
        """The lowest layer."""
        own = sshkey.public_line(self._config)
        keys = [*self._config.nodes.ssh_authorized_keys, *([own] if own else [])]
        root = {"keys": keys, "password": self._config.nodes.root_password_hash}
        values: dict[str, Any] = {"root": {name: value for name, value in root.items() if value}}
        if self._node.name:
            values["hostname"] = self._fqdn()
        if interface := self._interface(target):
            values["network"] = [interface]
        return values

    def _interface(self, target: Target) -> dict[str, Any] | None:
        node = self._node
        if node.method is AddressMethod.UNTOUCHED:
            return None
        interface: dict[str, Any] = {"method": "dhcp"}
        by_mac = target.dialect in (Dialect.AUTOINSTALL, Dialect.NOCLOUD) or (
            target.dialect is Dialect.KICKSTART and target.major >= _BY_MAC[target.line]
        )
        if by_mac and node.macs:
            interface["device"] = node.macs[0]
        if node.method is AddressMethod.STATIC and node.address is not None:
            interface |= {
                "method": "static",
                "address": str(node.address),
                "netmask": self._network()["netmask"],
                "name_servers": list(self._place["dns"]),
            }
            if self._place["gateway"]:
                interface["gateway"] = self._place["gateway"]
        return interface

    def _network(self) -> dict[str, Any]:
        if self._place["address"] is None:
            return {}
        own = IPv4Interface(self._place["address"])
        return {"netmask": str(own.netmask), "prefix": own.network.prefixlen, "network": str(own.network)}

    def _fqdn(self) -> str:
        domain = self._place["domain"]
        return f"{self._node.name}.{domain}" if domain else str(self._node.name)
