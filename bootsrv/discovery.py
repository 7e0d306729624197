"""Machines nobody registered: how one gets onto the unknown list."""

from __future__ import annotations

from dataclasses import replace

from bootsrv.model import Node, NodeState
from bootsrv.registry.registry import Registry
from pxe.loaders import architecture

MAX_UNKNOWN = 10_000  # a made-up MAC costs a sender nothing; the longest unseen ones make room


def note_sighting(registry: Registry, mac: str, now: float, arch: int | None = None) -> Node:
    """The node of this MAC, put on the unknown list if there is none; remembers that and as what it was
    seen."""
    firmware = firmware_of(arch)
    with registry.transaction():
        node = registry.machine(mac)
        if node is None:
            registry.nodes.forget_unknown(MAX_UNKNOWN - 1)
            node = registry.nodes.save(
                Node(
                    id=0,
                    name=None,
                    macs=(mac,),
                    state=NodeState.DISCOVERED,
                    firmware=firmware,
                    created=now,
                    last_seen=now,
                )
            )
            registry.events.claim(mac, node.id)
            registry.events.add(now, "node.discovered", "an unknown machine asks what to boot", mac, node.id)
            return node
        if firmware is not None and node.firmware != firmware:
            registry.nodes.seen_as(node.id, firmware, now)
            return replace(node, firmware=firmware, last_seen=now)
        registry.nodes.touch(node.id, now)
        return node


def firmware_of(arch: int | None) -> str | None:
    """ "bios" or "uefi" as the architecture number tells; None when it tells nothing."""
    if arch is None:
        return None
    firmware = architecture(arch).firmware
    return firmware if firmware in ("bios", "uefi") else None
