"""The verbs that put images on machines: arm exactly one imaging, try again after a failure, take an arming
back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from bootsrv import lifecycle
from bootsrv.appliance.images import Images
from bootsrv.config import Config
from bootsrv.errors import Conflict, Invalid, Needed
from bootsrv.model import BootMode, Node, NodeState
from bootsrv.registry.registry import Registry


class Deploys:
    """Verbs on imaging. Each takes nodes as `appliance.nodes.select` gives them; all of them change, or
    none."""

    def __init__(
        self, config: Config, registry: Registry, images: Images, clock: Callable[[], float]
    ) -> None:
        self._config, self._registry, self._images, self._clock = config, registry, images, clock

    def reimage(self, nodes: Sequence[Node], image: str | None = None, wipe: bool = False) -> Sequence[Node]:
        """Arm one imaging at the next boot (at once, where an imager waits). With `image` it becomes the
        node's image.

        Raises Invalid when a node has no image or one that no disk can boot, NotFound when the image does not
        exist.
        """
        with self._registry.transaction():
            return [self._arm(self._fresh(node), image, wipe) for node in nodes]

    def _arm(self, node: Node, image: str | None, wipe: bool, again: str | None = None) -> Node:
        """`again`: what it was armed for before, whatever its image is by now."""
        if node.state is NodeState.DISCOVERED:
            raise Invalid(f"{node.macs[0]} is not registered yet: adopt it first")
        if node.state is NodeState.IMAGING:
            raise Conflict(f"{node.name} is being imaged right now")
        ref = again or image or node.image
        if ref is None:
            raise Needed(f"{node.name} has no image", "image")
        version = self._images.bootable(ref)
        mode = BootMode.LOCAL if node.boots is BootMode.DISKLESS else node.mode  # what is written is to run
        armed = lifecycle.arm(
            replace(node, image=image or node.image or ref, mode=mode), version.ref, self._clock(), wipe
        )
        return self._record(armed, "node.armed", f"armed for {version.ref}")

    def retry(self, nodes: Sequence[Node]) -> Sequence[Node]:
        """Let failed nodes try again what they were armed for."""
        with self._registry.transaction():
            done = []
            for node in map(self._fresh, nodes):
                if node.state is not NodeState.FAILED:
                    raise Conflict(f"{node.name} has not failed (it is {node.state})")
                before = node.armed
                if before is not None and before.capture is not None:
                    again = lifecycle.arm_capture(node, before.image, before.capture, self._clock())
                    done.append(self._record(again, "node.armed", f"to be captured as {before.image}"))
                    continue
                if before is not None and before.install is not None:
                    again = lifecycle.arm_install(node, before.install, self._clock())
                    done.append(self._record(again, "node.armed", f"to be installed again: {before.what}"))
                    continue
                done.append(
                    self._arm(node, None, before.wipe, before.image)
                    if before
                    else self._arm(node, None, False)
                )
            return done

    def cancel(self, nodes: Sequence[Node]) -> Sequence[Node]:
        """Take an arming back, failed or not, while the disk has not been touched."""
        with self._registry.transaction():
            done = []
            for node in map(self._fresh, nodes):
                if not lifecycle.disarmable(node):
                    raise Conflict(f"{node.name} is not armed (it is {node.state})")
                if node.half_written:
                    raise Conflict(f"an imaging of {node.name} was broken off: its disk can only be imaged")
                done.append(self._record(lifecycle.disarm(node), "node.disarmed", "arming taken back"))
            return done

    def _fresh(self, node: Node) -> Node:
        found = self._registry.nodes.get(node.id)
        if found is None:
            raise Conflict(f"{node.name} was removed in the meantime")
        return found

    def _record(self, node: Node, kind: str, text: str) -> Node:
        stored = self._registry.nodes.save(node)
        self._registry.events.add(self._clock(), kind, text, None, node.id)
        return stored
