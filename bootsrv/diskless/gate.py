"""Which machine may have which block device: `images.nbd.gate`'s questions, answered from the registry.

A machine gets what it was handed at its last boot (shares.py) and nothing else: the version read only,
and its own place to write where its root's writes are kept. That place belongs to the node, not to its name
or number: a removed node's leftovers never reach the next one.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from pathlib import Path

from bootsrv.config import Config
from bootsrv.diskless.shares import NotShared, Shares
from bootsrv.model import Node, RootKind
from images.nbd.gate import KEEP, Grant, Place, Refused

LIMIT = 8 << 30  # bytes that a node may keep when nobody said


class HouseGate:
    """Implements `images.nbd.gate.Gate`. May be shared between threads."""

    def __init__(self, config: Config, shares: Shares) -> None:
        self._config, self._shares = config, shares
        self._lock = threading.Lock()

    def grant(self, peer: str, export: str) -> Grant:
        """What the machine at `peer` gets. Raises Refused."""
        ref = export.removesuffix(KEEP)
        with self._lock:
            try:
                share = self._shares.asked(peer, RootKind.NBD)
            except NotShared as error:
                raise Refused(str(error)) from error
        if ref != share.image:
            raise Refused(f"{share.node.name} was booted with {share.image}")
        if ref == export:
            return Grant(ref)
        if not share.root.writes.stay:
            raise Refused(f"nothing that {share.node.name} writes is kept")
        return Grant(ref, Place(folder_of(self._config, share.node), share.root.limit or LIMIT))


def layers_dir(config: Config) -> Path:
    """Where the nodes' own places lie."""
    return config.data_dir / "layers"


def folder_of(config: Config, node: Node) -> Path:
    """Where one node's layers lie: `kept`, what it writes beside a tree's version, or one per disk image."""
    return layers_dir(config) / f"{node.id}-{int(node.created)}"


def orphans(config: Config, nodes: Callable[[], Iterable[Node]]) -> list[Path]:
    """Folders of nodes that are gone. `nodes` gives all there are; asked only where there is a folder."""
    try:
        folders = list(layers_dir(config).iterdir())
    except FileNotFoundError:
        return []
    known = {folder_of(config, node).name for node in nodes()} if folders else set()
    return [path for path in folders if path.name not in known]
