"""The registry and the boot plan as the DHCP engine wants to see them (`pxe.dhcp.ports`).

A change in the registry is true for the very next packet (`knownnodes`).
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Address
from typing import Any
from urllib.parse import urlencode

from bootsrv import bootplan, ownfile
from bootsrv.config import Config
from bootsrv.dnsview import OWN_NAME
from bootsrv.knownnodes import KnownNodes, identities_of
from bootsrv.recorder import Recorder
from pxe.dhcp.ports import BootFile, Client, Host, Stage
from pxe.loaders import architecture, loader_for


class HouseHosts:
    """Implements `pxe.dhcp.ports.Hosts`."""

    def __init__(self, known: KnownNodes) -> None:
        self._known = known

    def look(self) -> None:
        """Packets wait: has anything changed since the last?"""
        self._known.look()

    def find(self, client: Client) -> Host | None:
        """The registered node with one of the client's identities, or else with its MAC."""
        return self._known.host(client)

    def reserved(self, address: IPv4Address) -> bool:
        """Whether a registered node has this address."""
        return self._known.reserved(address)

    def named(self, name: str) -> bool:
        """Whether a registered node has this name, or we have it ourselves."""
        return name == OWN_NAME or self._known.named(name)


class HouseBoots:
    """Implements `pxe.dhcp.ports.Boots`: which program brings this client to what the boot plan says."""

    def __init__(self, config: Config, known: KnownNodes, recorder: Recorder) -> None:
        self._config, self._known, self._recorder = config, known, recorder

    def decide(self, client: Client, server: IPv4Address) -> BootFile | None:
        """Firmware gets our iPXE, by TFTP or HTTP as it can; our iPXE gets the machine's script."""
        if client.stage is Stage.SYSTEM:
            return None
        node = self._known.node(client)
        plan = bootplan.decide(node, self._config.nodes.discover)
        options, loader = self._options(client, server), loader_for(client.arch)
        own = ownfile.own_file(plan, options)
        if own is None and loader is None and client.stage is not Stage.IPXE:
            own = ownfile.named(options)
        if own is not None:
            return ownfile.boot_file(own, options, client, server, self._config.http.port)
        if plan.action is bootplan.Action.NONE:
            return None
        if node is None or client.stage is not Stage.IPXE:
            other_card = node is not None and client.mac not in node.macs
            known = tuple(identities_of(client)) if other_card else ()
            arch = client.arch if client.stage is not Stage.IPXE else None
            self._recorder.sighting(client.mac, arch, known)
        base = f"http://{server}:{self._config.http.port}/boot"
        if client.stage is Stage.IPXE:
            return BootFile(f"{base}/{script_name(client, server)}", server, plan.reason)
        if loader is None:
            self._recorder.record(client.mac, "boot.none", _no_loader(client))
            return None
        name = f"{base}/loaders/{loader}" if client.http_boot else loader
        return BootFile(name, server, f"our iPXE first; then {plan.reason}")

    def _options(self, client: Client, server: IPv4Address) -> Mapping[str, Any]:
        subnet, host = self._config.subnet_of(server), self._known.host(client)
        return {**(subnet.options if subnet else {}), **(host.options if host else {})}


def _no_loader(client: Client) -> str:
    kind = architecture(client.arch)
    return (
        f"{kind.name} (architecture {kind.code}): there is no boot loader of ours for it; put one below "
        f"public/ and name it in its option {ownfile.NAME}"
    )


def script_name(client: Client, server: IPv4Address) -> str:
    """The path of a machine's script below /boot/; it carries what the HTTP side cannot know otherwise."""
    query = {"server": str(server)}
    if client.arch is not None:
        query["arch"] = str(client.arch)
    return f"{client.mac.replace(':', '-')}/script.ipxe?{urlencode(query)}"
