"""What a diskless machine is told by its first RAM disk's question: its root, its write layer, who it is.

The plan was made at its boot (`node.rooted`); here it is only filled with what the machine needs to carry
it out, and signed for that boot alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from bootsrv import lifecycle, overlays, tasks
from bootsrv.appliance.images import Images
from bootsrv.calls import Refused, json_reply
from bootsrv.config import Config
from bootsrv.diskless import bootkey
from bootsrv.errors import BootsrvError, Conflict
from bootsrv.listening import callback
from bootsrv.model import Node, RootKind
from bootsrv.registry.registry import Registry
from bootsrv.registry.tokens import Token
from images.agent import sealed
from images.versions import Version
from pxe.http.ports import Reply

HOME_SECONDS = 10 * 365 * 86400.0


class Exports(Protocol):
    """Where a node finds its root over NFS. Raises BootsrvError while it is not there yet."""

    def nfs(self, node: Node, version: Version, host: str) -> dict[str, Any]: ...


class RootTasks:
    """Answers `GET /node/v1/root` for the holder of a boot's token."""

    def __init__(
        self,
        config: Config,
        registry: Registry,
        images: Images,
        exports: Exports | None,
        clock: Callable[[], float],
    ) -> None:
        self._config, self._registry, self._images = config, registry, images
        self._exports, self._clock = exports, clock

    def answer(self, node: Node, token: Token, secret: str) -> Reply:
        """The signed task, or what there is to wait for."""
        if node.rooted is None:
            raise Refused(403, "this machine is not to boot diskless")
        try:
            task = self._task(node, token, self._images.resolve(node.rooted.image))
        except BootsrvError as error:
            if isinstance(error, overlays.OverlayError):
                self._failed(node, token, str(error))
            return json_reply({"wait": str(error)})
        self._registry.upkeep.set_host_keys(node.id, [bootkey.known_host(self._registry, node)])
        return json_reply(sealed.seal(task, sealed.holder(secret), bootkey.private(self._registry)))

    def _failed(self, node: Node, token: Token, text: str) -> None:
        """Waiting will not help: it is on the node's page, until it has called home. Told once."""
        data, mac = {"step": "files", "error": text}, token.subject
        with self._registry.transaction():
            now = self._registry.nodes.get(node.id)
            if now is None or (failed := lifecycle.reported(now, "root.failed", data)) == now:
                return
            self._registry.nodes.save(failed)
            self._registry.events.add(self._clock(), "root.failed", f"files: {text}", mac, node.id, data)

    def again(self, node: Node, mac: str, base: str) -> dict[str, Any]:
        """What is laid over a running node's root once more. Raises BootsrvError."""
        if node.rooted is None:
            raise Conflict(f"{node.name} is not diskless")
        version = self._images.resolve(node.rooted.image)
        return self._personal(node, mac, base, version)

    def _task(self, node: Node, token: Token, version: Version) -> dict[str, Any]:
        assert node.rooted is not None
        root, base, mac = node.rooted.root, str(token.data.get("url") or ""), token.subject
        host = base.removeprefix("http://").rpartition(":")[0]
        home = self._registry.tokens.issue("home", str(node.id), self._clock(), HOME_SECONDS, {"mac": mac})
        task: dict[str, Any] = {
            **self._personal(node, mac, base, version),
            "image": {"ref": version.ref, "manifest": version.id},
            "root": {
                "kind": str(root.kind), "writes": str(root.writes), "paths": list(root.paths),
                "limit": root.limit,
            },
            "callback": callback(self._config, base, home),
        }  # fmt: skip
        if root.kind is RootKind.NBD:
            if not self._config.nbd.enabled:
                raise BootsrvError("this server exports nothing over NBD ([nbd] enabled)")
            task["nbd"] = {
                "host": host, "port": self._config.nbd.port, "export": version.ref,
                "keep": f"{version.ref}/keep", "format": "erofs",
            }  # fmt: skip
        elif root.kind is RootKind.NFS:
            if self._exports is None:
                raise BootsrvError("this server exports nothing over NFS")
            task["nfs"] = self._exports.nfs(node, version, host)
        return task

    def _personal(self, node: Node, mac: str, base: str, version: Version) -> dict[str, Any]:
        who = tasks.identity(node, mac, version.meta, self._config, self._registry, base)
        return {
            "node": who,
            "machine_id": bootkey.machine_id(self._registry, node),
            "ssh_host_keys": bootkey.host_key(self._registry, node),
            "files": _as_json(overlays.files(self._config, node, overlays.variables(node, who, version))),
        }


def _as_json(files: Sequence[overlays.File]) -> list[dict[str, str]]:
    return [{"path": file.path, "mode": f"{file.mode:04o}", "data": file.base64} for file in files]
