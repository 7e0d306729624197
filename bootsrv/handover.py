"""`autoexec.ipxe`: a recent iPXE for EFI asks for it beside itself before it does anything else, with the
address that the firmware got. Implements `pxe.catalogue.Generated`.

Answered, it goes to the machine's script at once and spares itself a second round of DHCP with its waits:
6 s of each boot with OVMF and a 2025 iPXE, from the loader's last byte to the script. The script itself is
still fetched over HTTP: there, and only there, attempts are counted and tokens issued. Whose address it is is
looked up anew; a machine we cannot name is told nothing, and its iPXE asks DHCP as usual.

GRUB asks for `grub.cfg` beside itself. Where a machine is to be installed and its own boot file starts GRUB,
it is led to its script in the same way; any other gets the file that lies below `public/`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from ipaddress import IPv4Address, IPv4Interface, ip_address
from pathlib import Path

from bootsrv import bootplan, ownfile, scripts
from bootsrv.config import Config
from bootsrv.peers import Peers
from bootsrv.registry.registry import Registry
from pxe import grub, ipxe

NAME = "autoexec.ipxe"


class Handover:
    """`ours`: our addresses with their networks, now."""

    def __init__(
        self,
        config: Config,
        registry: Registry,
        peers: Peers,
        ours: Callable[[], Iterable[IPv4Interface]],
    ) -> None:
        self._config, self._registry, self._peers, self._ours = config, registry, peers, ours

    def find(self, name: str, peer: str) -> bytes | Path | None:
        """The script for the machine at `peer`."""
        wanted = name.rpartition("/")[2].lower()
        if wanted not in (NAME, grub.FILE) or not self._config.http.enabled:
            return None
        server, mac = self._server(peer), self._peers.mac_of(peer)
        if server is None or mac is None:
            return None
        base, query = f"http://{server}:{self._config.http.port}", {"server": str(server)}
        plan, own = self._plan(mac, server)
        if wanted == grub.FILE:
            if plan.action is not bootplan.Action.INSTALLER or not own:
                return None
            return grub.handover(scripts.script_url(mac, base, query, grub.FILE)).encode()
        # DHCP offers such a machine nothing of ours, so its iPXE is not ours to direct either.
        if plan.action is bootplan.Action.NONE or own:
            return None
        return ipxe.handover(mac, scripts.script_url(mac, base, query)).encode()

    def _plan(self, mac: str, server: IPv4Address) -> tuple[bootplan.BootPlan, bool]:
        """What the machine is to boot, and whether it does so by a boot file of its own."""
        node = self._registry.machine(mac)
        plan = bootplan.decide(node, self._config.nodes.discover)
        subnet = self._config.subnet_of(server)
        options = dict(subnet.options) if subnet is not None else {}
        if node is not None:
            options |= {**self._registry.nodes.group_options(node.groups), **node.options}
        return plan, ownfile.own_file(plan, options) is not None

    def _server(self, peer: str) -> IPv4Address | None:
        """Our address on the machine's network; None: it is behind a router, and only DHCP's relay knows."""
        address = ip_address(peer)
        return next((own.ip for own in self._ours() if address in own.network), None)
