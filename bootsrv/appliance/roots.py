"""The verbs on diskless machines: a version as root at the next boot, or their own disks again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from bootsrv import lifecycle
from bootsrv.appliance import wishes
from bootsrv.appliance.images import Images
from bootsrv.config import Config
from bootsrv.diskless.task import RootTasks
from bootsrv.errors import Conflict, Invalid, Needed
from bootsrv.model import BootMode, Node, NodeState
from bootsrv.registry.registry import Registry
from bootsrv.registry.upkeep import Room
from bootsrv.remote import Remote


@dataclass(frozen=True, slots=True)
class Wanted:
    """How the root is to be. None: as it is."""

    root: str | None = None
    writes: str | None = None
    paths: Sequence[str] | None = None
    write_limit: str | int | None = None


class Roots:
    """Verbs on roots. Each takes nodes as `appliance.nodes.select` gives them; all change, or none."""

    def __init__(
        self,
        config: Config,
        registry: Registry,
        images: Images,
        clock: Callable[[], float],
        remote: Callable[[Node], Remote],
    ) -> None:
        """`remote`: the way to a running node over SSH."""
        self._config, self._registry, self._images, self._clock = config, registry, images, clock
        self._remote = remote

    def move(self, nodes: Sequence[Node], image: str | None, wanted: Wanted) -> Sequence[Node]:
        """From their next boot on the nodes are diskless, with this image (None: the one they have).

        An arming is taken back; their disks are left as they are. Raises Invalid, NotFound, Conflict.
        """
        self._images.look_ahead(image or node.image for node in nodes)
        with self._registry.transaction():
            return [self._move(self._fresh(node), image, wanted) for node in nodes]

    def _move(self, node: Node, image: str | None, wanted: Wanted) -> Node:
        ref = image or node.image
        if ref is None:
            raise Needed(f"{node.name} has no image", "image")
        self._images.rootable(ref)
        moved = lifecycle.diskless(replace(node, diskless=wishes.diskless(node.diskless, wanted)), ref)
        wishes.kept(node.diskless, moved.diskless, moved.root)
        wishes.fits(moved.root)
        return self._record(
            moved, "node.changed", f"diskless from its next boot on: {ref}, {moved.root.kind}"
        )

    def leave(self, nodes: Sequence[Node]) -> Sequence[Node]:
        """From their next boot on the nodes boot their own disks. Raises Conflict for one whose disk is half
        written."""
        with self._registry.transaction():
            return [self._leave(self._fresh(node)) for node in nodes]

    def _leave(self, node: Node) -> Node:
        if node.boots is not BootMode.DISKLESS:
            raise Conflict(f"{node.name} is not diskless")
        if node.half_written:
            raise Conflict(f"an imaging of {node.name} was broken off: `bootsrv reimage {node.name}`")
        return self._record(lifecycle.from_disk(node), "node.changed", "its own disk from its next boot on")

    def apply(self, node: Node) -> Sequence[str]:
        """Lay what this server has for a running diskless node over its root once more; the paths that were
        different. Raises Conflict, BootsrvError with the node's own words."""
        if node.rooted is None:
            raise Conflict(f"{node.name} was not booted diskless")
        remote = self._remote(node)
        base = f"http://{remote.own_address()}:{self._config.http.port}"
        tasks = RootTasks(self._config, self._registry, self._images, None, self._clock)
        mac = node.macs[0] if node.macs else ""
        said = remote.agent(["files"], tasks.again(node, mac, base), base, lambda line: None)
        changed = [str(path) for path in said.get("changed") or ()]
        text = f"its own files were laid anew: {', '.join(changed) or 'nothing was different'}"
        data = {"changed": changed}
        self._registry.events.add(self._clock(), "root.files", text[:500], None, node.id, data)
        return changed

    def room(self, node: Node) -> Room | None:
        """How full its write layer was when it last said so."""
        return self._registry.upkeep.room(node.id) if node.rooted is not None else None

    def _fresh(self, node: Node) -> Node:
        found = self._registry.nodes.get(node.id)
        if found is None:
            raise Conflict(f"{node.name} was removed in the meantime")
        if found.state is NodeState.DISCOVERED:
            raise Invalid(f"{found.macs[0]} is not registered yet: adopt it first")
        if found.state is NodeState.IMAGING:
            raise Conflict(f"{found.name} is being imaged right now")
        return found

    def _record(self, node: Node, kind: str, text: str) -> Node:
        stored = self._registry.nodes.save(node)
        self._registry.events.add(self._clock(), kind, text, None, node.id)
        return stored
