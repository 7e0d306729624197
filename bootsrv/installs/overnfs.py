"""Which install trees are exported over NFS, and to whom: old installers fetch their packages that way, by a
profile whose source names an NFS server.

The law: a tree is exported to the machines that are armed to be installed from it by such a profile, for as
long as they are, and as nobody; an installation over HTTP starts no NFS server.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from bootsrv.appliance.profiles import Profiles
from bootsrv.errors import BootsrvError
from bootsrv.model import InstallOrder, Node
from bootsrv.nfsroot.keeper import Directory
from bootsrv.registry.registry import Registry
from bootsrv.trees.shelf import Shelf
from pxe.errors import SettingError

log = logging.getLogger(__name__)


class TreesOverNfs:
    """Called for what is due now. Not shared between threads."""

    def __init__(
        self, registry: Registry, profiles: Profiles, shelf: Shelf, clock: Callable[[], float] = time.time
    ) -> None:
        self._registry, self._profiles, self._shelf, self._clock = registry, profiles, shelf, clock
        self._asked: dict[int, tuple[object, bool]] = {}  # node -> what was looked at, and what came of it

    def __call__(self) -> list[Directory]:
        """Trees by name, with their machines' addresses."""
        found: dict[str, set[str]] = {}
        texts = tuple((one.ref, one.number) for one in self._profiles.list())
        for node in self._registry.nodes.installing():
            order = node.armed.install if node.armed is not None else None
            if order is not None and self._wants(node, order, texts):
                found.setdefault(order.tree, set()).update(self._addresses(node))
        known = set(self._shelf.names())
        return [
            Directory(name, self._shelf.directory(name), tuple(sorted(clients)))
            for name, clients in sorted(found.items())
            if name in known and clients
        ]

    def _wants(self, node: Node, order: InstallOrder, texts: object) -> bool:
        """Looked at anew when a text or the node has changed: it takes a millisecond a machine."""
        key = (order, node.groups, node.options, texts)
        before = self._asked.get(node.id)
        if before is None or before[0] != key:
            self._asked[node.id] = before = key, self._names_nfs(node, order)
        return before[1]

    def _names_nfs(self, node: Node, order: InstallOrder) -> bool:
        try:
            source = self._profiles.stack(node, order.profile).profile().source
        except (BootsrvError, SettingError) as error:
            log.warning("%s: %s: %s", node.name, order.profile, error)  # its boot says so to its user
            return False
        return source is not None and source.nfs_server is not None

    def _addresses(self, node: Node) -> set[str]:
        now = self._clock()
        leases = (self._registry.leases.of_mac(mac, now) for mac in node.macs)
        found = {str(lease) for lease in leases if lease is not None}
        return found | ({str(node.address)} if node.address is not None else set())
