"""The registry and the boot plan as the DHCP engine wants to see them (`pxe.dhcp.ports`).

Everything is looked up when it is asked: a change in the registry is true for the very next packet.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address
from urllib.parse import urlencode

from bootsrv import bootplan
from bootsrv.config import Config
from bootsrv.model import AddressMethod, Node, NodeState
from bootsrv.recorder import Recorder
from bootsrv.registry.registry import Registry
from pxe.dhcp.ports import BootFile, Client, Host, Stage
from pxe.loaders import loader_for


class HouseHosts:
    """Implements `pxe.dhcp.ports.Hosts`."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def find(self, client: Client) -> Host | None:
        """The registered node with one of the client's identities, or else with its MAC."""
        node = node_of(self._registry, client)
        if node is None or node.state is NodeState.DISCOVERED:
            return None
        options = {**self._registry.nodes.group_options(node.groups), **node.options}
        return Host(node.name, None if node.method is AddressMethod.DYNAMIC else node.address, options)

    def reserved(self, address: IPv4Address) -> bool:
        """Whether a registered node has this address."""
        return self._registry.nodes.has_address(address)


def node_of(registry: Registry, client: Client) -> Node | None:
    """Who asks. An identity that somebody set by hand says more than a MAC."""
    number = registry.identities.node_of(_identities(client))
    node = registry.nodes.get(number) if number is not None else None
    return node or registry.nodes.by_mac(client.mac)


def _identities(client: Client) -> Iterator[tuple[str, str]]:
    """In the order in which they count."""
    if client.client_id:
        yield "client-id", client.client_id.hex()
    if client.uuid:
        yield "uuid", client.uuid
    if client.circuit_id:
        yield "circuit-id", client.circuit_id.hex()
    if client.remote_id:
        yield "remote-id", client.remote_id.hex()


class HouseBoots:
    """Implements `pxe.dhcp.ports.Boots`: which program brings this client to what the boot plan says."""

    def __init__(self, config: Config, registry: Registry, recorder: Recorder) -> None:
        self._config, self._registry, self._recorder = config, registry, recorder

    def decide(self, client: Client, server: IPv4Address) -> BootFile | None:
        """Firmware gets our iPXE, by TFTP or HTTP as it can; our iPXE gets the machine's script."""
        if client.stage is Stage.SYSTEM:
            return None
        node = node_of(self._registry, client)
        plan = bootplan.decide(node, self._config.nodes.discover)
        if plan.action is bootplan.Action.NONE:
            return None
        if node is None or client.stage is not Stage.IPXE:
            self._recorder.sighting(client.mac, client.arch if client.stage is not Stage.IPXE else None)
        base = f"http://{server}:{self._config.http.port}/boot"
        if client.stage is Stage.IPXE:
            return BootFile(f"{base}/{script_name(client, server)}", server, plan.reason)
        loader = loader_for(client.arch)
        if loader is None:
            return None
        name = f"{base}/loaders/{loader}" if client.http_boot else loader
        return BootFile(name, server, f"our iPXE first; then {plan.reason}")


def script_name(client: Client, server: IPv4Address) -> str:
    """The path of a machine's script below /boot/; it carries what the HTTP side cannot know otherwise."""
    query = {"server": str(server)}
    if client.arch is not None:
        query["arch"] = str(client.arch)
    return f"{client.mac.replace(':', '-')}/script.ipxe?{urlencode(query)}"
