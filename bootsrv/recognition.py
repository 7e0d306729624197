"""Which node a machine is when its MAC does not say: by an identity that a person gave a node, or by the
cards it reports itself.

An identity of a machine (client identifier, UUID, serial number) makes its card one of the node's; one of a
place (a relay's port) makes whatever is plugged in there the node, for as long as it asks there. The laws: a
card that belongs to one registered node is never taken from it; what an unknown machine's imager or iPXE says
of it (anybody can say that) makes it only a node that has no card yet, or one whose own inventory agrees.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from bootsrv import names
from bootsrv.errors import Invalid
from bootsrv.model import Node, NodeState
from bootsrv.registry.registry import Registry

OF_A_MACHINE = ("client-id", "uuid")
MOST_CARDS = 64
# Links to a service processor: several machines of one maker have the same address there.
NO_CARDS = ("cdc_ether", "cdc_ncm", "cdc_eem", "rndis_host")


def recognise(registry: Registry, mac: str, known: Iterable[tuple[str, str]], now: float) -> None:
    """A machine asked over DHCP with these identities; afterwards its card leads to the node they name."""
    for kind, value in known:
        number = registry.identities.node_of([(kind, value)])
        node = registry.nodes.get(number) if number is not None else None
        if node is None:
            continue
        if mac in node.macs:
            return
        owner = registry.nodes.by_mac(mac)
        if kind in OF_A_MACHINE and (owner is None or owner.state is NodeState.DISCOVERED):
            join(registry, node, [mac], now, f"known by its {kind}")
        elif registry.identities.guest(mac) != node.id:
            registry.identities.set_guest(mac, node.id)
            text = f"{mac} asks as this node, known by its {kind}"
            registry.events.add(now, "node.recognised", text, None, node.id)
        return


def by_serial(registry: Registry, mac: str, serial: str, now: float) -> Node | None:
    """The node without a card that has this serial number; the card is its own from now on."""
    number = registry.identities.node_of([("serial", serial.strip().lower())]) if serial.strip() else None
    node = registry.nodes.get(number) if number is not None else None
    return None if node is None or node.macs else join(registry, node, [mac], now, "known by its serial")


def by_inventory(registry: Registry, node: Node, facts: Mapping[str, Any], now: float) -> Node:
    """All cards that a machine reports are one machine: gives the node that it is."""
    macs, said = _cards(facts), _dmi(facts)
    if node.state is NodeState.DISCOVERED:
        known = _named(registry, said) or _owner(registry, macs, said)
        if known is not None:
            return join(registry, known, [*node.macs, *macs], now, "its inventory says so")
    return join(registry, node, macs, now, "reported by its imager")


def join(registry: Registry, node: Node, macs: Iterable[str], now: float, why: str) -> Node:
    """The node with these cards as well, and with the past of the unknown machines they were."""
    fresh: list[str] = []
    for mac in dict.fromkeys(macs):
        owner = registry.nodes.by_mac(mac)
        if owner is None:
            fresh.append(mac)
        elif owner.id != node.id and owner.state is NodeState.DISCOVERED:
            fresh += owner.macs
            registry.nodes.remove(owner.id)
            registry.events.move(owner.id, node.id)
            node = replace(node, facts=node.facts or owner.facts, firmware=node.firmware or owner.firmware)
        elif owner.id != node.id:
            text = (
                f"its card {mac} is registered as one of {owner.name}: left there"
                f" (is it the same machine? then give {owner.name} the other cards too)"
            )
            registry.events.add(now, "node.conflict", text, None, node.id)
    if not fresh:
        return node
    stored = registry.nodes.save(replace(node, macs=(*node.macs, *dict.fromkeys(fresh))))
    for mac in fresh:
        registry.events.claim(mac, stored.id)
    text = f"{', '.join(dict.fromkeys(fresh))} is one of its cards ({why})"
    registry.events.add(now, "node.merged", text, None, stored.id)
    return stored


def _named(registry: Registry, said: Mapping[str, str]) -> Node | None:
    """The node that was given this UUID or this serial number, and has no card yet."""
    number = registry.identities.node_of([(kind, said.get(kind, "")) for kind in ("uuid", "serial")])
    node = registry.nodes.get(number) if number is not None else None
    return None if node is None or node.macs else node


def _owner(registry: Registry, macs: Iterable[str], said: Mapping[str, str]) -> Node | None:
    """The one registered node that has one of these cards, and has reported the same UUID itself before: a
    card may have moved into another machine, and a list of cards is easily made up."""
    owners = {node.id: node for mac in macs if (node := registry.nodes.by_mac(mac)) is not None}
    known = [node for node in owners.values() if node.state is not NodeState.DISCOVERED]
    if len(known) != 1:
        return None
    before = _dmi(known[0].facts).get("uuid")
    return known[0] if before is not None and before == said.get("uuid") else None


def _cards(facts: Mapping[str, Any]) -> list[str]:
    """The usable MACs of an inventory, which is a stranger's: anything may be in it."""
    listed = facts.get("interfaces")
    found = []
    for item in listed[:MOST_CARDS] if isinstance(listed, list) else []:
        if not isinstance(item, dict) or item.get("driver") in NO_CARDS:
            continue
        try:
            found.append(names.mac(str(item.get("mac"))))
        except Invalid:
            continue  # an empty or a made-up one is no card's
    return found


def _dmi(facts: Mapping[str, Any]) -> dict[str, str]:
    dmi = facts.get("dmi")
    pairs = dmi.items() if isinstance(dmi, dict) else ()
    return {key: value.strip().lower() for key, value in pairs if isinstance(value, str) and value.strip()}
