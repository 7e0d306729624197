"""Where a node finds its root over NFS: what its first RAM disk is told, once the server would let it in."""

from __future__ import annotations

from typing import Any

from bootsrv.config import Config
from bootsrv.errors import BootsrvError
from bootsrv.model import Node
from bootsrv.nfsroot import status
from images.versions import Version


class NfsPlaces:
    """Looks at what the exporter says of itself, anew at each question."""

    def __init__(self, config: Config) -> None:
        self._config = config

    def nfs(self, node: Node, version: Version, host: str) -> dict[str, Any]:
        """`host`: our address as the node knows it. Raises BootsrvError with what there is to wait for."""
        if not self._config.nfs.enabled:
            raise BootsrvError("this server exports nothing over NFS: [nfs] enabled = false")
        now = status.read(self._config)
        root = next((root for root in now.roots if root.id == version.id), None)
        if now.error:
            raise BootsrvError(f"roots over NFS: {now.error}")
        if root is None:
            raise BootsrvError(
                f"{version.ref} is not exported yet: {now.state.get(version.ref, 'it was not asked for')}"
            )
        if not any(grant.node == node.id and grant.image == version.ref for grant in now.grants):
            raise BootsrvError(f"{version.ref} is not exported to {node.name} yet")
        place: dict[str, Any] = {
            "host": host, "port": now.port, "mount_port": now.mount_port, "versions": list(now.versions),
            "path": root.path,
        }  # fmt: skip
        if node.rooted is not None and node.rooted.root.writes.stay:
            space = next((space for space in now.writes if space.node == node.id), None)
            if space is None:
                raise BootsrvError(f"what {node.name} writes has no place yet")
            place["keep"] = space.path
        return place
