"""The verbs that have a distribution's own installer set up machines: arm exactly one installation, and look
at what a node's installer would be given."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bootsrv import lifecycle
from bootsrv.appliance.profiles import Profiles
from bootsrv.config import Config
from bootsrv.errors import Conflict, Invalid
from bootsrv.installs.making import Making
from bootsrv.model import InstallOrder, Node, NodeState
from bootsrv.registry.registry import Registry
from bootsrv.trees.shelf import Shelf


class Installs:
    """Verbs on installations. Each takes nodes as `appliance.nodes.select` gives them; all of them change, or
    none."""

    def __init__(
        self, config: Config, registry: Registry, profiles: Profiles, clock: Callable[[], float]
    ) -> None:
        self._registry, self._clock = registry, clock
        self._making = Making(config, profiles, Shelf(config.trees_dir))

    def install(
        self, nodes: Sequence[Node], profile: str | None = None, tree: str | None = None
    ) -> Sequence[Node]:
        """Arm one installation at the next boot. Every node's answers are made and checked first.

        Raises Invalid naming node, field and line when they are not good, NotFound when there is no such
        profile or tree, Conflict for a node that is being written right now.
        """
        orders = [(node, self._order(node, profile, tree)) for node in nodes]
        with self._registry.transaction():
            return [self._arm(node, order) for node, order in orders]

    def _order(self, node: Node, profile: str | None, tree: str | None) -> InstallOrder:
        if node.state is NodeState.DISCOVERED:
            raise Invalid(f"{node.macs[0]} is not registered yet: adopt it first")
        order = self._making.order(node, profile, tree)
        made = self._making.probe(node, order)
        if not made.good:
            raise Invalid(f"{node.name}: {made.complaints()}")
        return order

    def _arm(self, node: Node, order: InstallOrder) -> Node:
        fresh = self._registry.nodes.get(node.id)
        if fresh is None:
            raise Conflict(f"{node.name} was removed in the meantime")
        if fresh.state is NodeState.IMAGING:
            raise Conflict(f"{fresh.name} is being written right now")
        armed = self._registry.nodes.save(lifecycle.arm_install(fresh, order, self._clock()))
        text = f"armed for an installation: {order.profile} from {order.tree}"
        self._registry.events.add(self._clock(), "node.armed", text, None, armed.id)
        return armed
