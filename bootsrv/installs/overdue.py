"""Installations of which nothing is heard any more: they have failed, whatever they wait for."""

from __future__ import annotations

from bootsrv import lifecycle
from bootsrv.model import Node, NodeState
from bootsrv.registry.registry import Registry


def give_up(registry: Registry, patience: float, now: float) -> list[Node]:
    """Fail every installation without a sign of life for `patience` seconds; the nodes as they are then."""
    given_up = []
    for node in registry.nodes.installing():
        if node.state is not NodeState.IMAGING:
            continue
        heard = registry.events.heard_of_install(node.id)
        if heard is None or now - heard < patience:
            continue
        error = f"no sign of life from its installer for {patience / 60:.0f} minutes"
        with registry.transaction():
            fresh = registry.nodes.get(node.id)
            if fresh is None or fresh.armed != node.armed:
                continue
            failed = lifecycle.installing(fresh, "install.failed", {"error": error})
            if failed != fresh:
                given_up.append(registry.nodes.save(failed))
                registry.events.add(now, "install.failed", error, None, node.id, {"error": error})
    return given_up
