"""The verbs on nodes: register, adopt, change, look, remove. Each is one transaction: all of it, or one
clear line.

A node is named by its name, by one of its MACs, or (as the page does) by `#ID`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv4Address
from typing import Any

from bootsrv import lifecycle, names, nodeset
from bootsrv.appliance import checks, wishes
from bootsrv.appliance.differences import changes
from bootsrv.appliance.images import Images
from bootsrv.config import Config
from bootsrv.errors import Conflict, Invalid, Needed, NotFound
from bootsrv.model import AddressMethod, BootMode, GroupBoot, Node, NodeState
from bootsrv.power.kept import Kept
from bootsrv.registry.registry import Registry

REGISTERED = tuple(state for state in NodeState if state is not NodeState.DISCOVERED)
MAX_RANGE = 10_000


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a person wants of a node. None: leave as it is (or the default, for a new one)."""

    name: str | None = None
    macs: Sequence[str] | None = None
    address: str | IPv4Address | None = None
    method: str | None = None  # default: reserved with an address, dynamic without
    image: str | None = None
    groups: Sequence[str] | None = None
    disk: str | None = None
    layout: str | None = None  # name of one of the configuration's layouts
    profile: str | None = None  # name of a stored profile, for its answer files
    mode: str | None = None
    options: Mapping[str, Any] | None = None  # merged into what is there; a value of None removes the option
    root: str | None = None  # of a diskless node: ram, nfs, nbd
    writes: str | None = None  # discard, compress, keep, paths
    paths: Sequence[str] | None = None  # with writes=paths: what is kept
    write_limit: str | int | None = None  # bytes, or a size such as 2G
    # of address, image, disk, layout, profile, groups, mode, root, writes, paths, write-limit
    clear: Sequence[str] = ()


class Nodes:
    """Verbs on nodes."""

    def __init__(
        self, config: Config, registry: Registry, images: Images, clock: Callable[[], float]
    ) -> None:
        self._config, self._registry, self._images, self._clock = config, registry, images, clock

    # --- look
    # ---------------------------------------------------------------------------------------------------

    def show(self, ref: str) -> Node:
        """One node by name, MAC or #ID. Raises NotFound."""
        nodes = self._registry.nodes
        node, mac = None, None
        if ref.startswith("#") and ref[1:].isdecimal():
            node = nodes.get(int(ref[1:]))
        elif (mac := names.try_mac(ref)) is not None:
            node = nodes.by_mac(mac)
        node = node or nodes.by_name(ref)
        if node is None:
            why = ": no machine with this MAC was seen or registered" if mac else ""
            raise NotFound(f"there is no node {ref!r}{why}")
        return node

    def select(self, text: str) -> Sequence[Node]:
        """The nodes that NODES means (`n[01-32]`, `@group`, `@all`, lists). Raises NotFound, Invalid."""
        found = {node.id: node for node in map(self.show, nodeset.expand(text, self._members))}
        return list(found.values())  # each once, by whichever of its names and MACs it was named

    def _members(self, group: str) -> Sequence[str]:
        if group == "all":
            return [name for name, _ in self._registry.nodes.names()]
        found = [node.name for node in self._registry.nodes.list(REGISTERED, names.group(group)) if node.name]
        if not found:
            raise NotFound(f"there is no group @{group}")
        return found

    def list(self, group: str | None = None) -> Sequence[Node]:
        """The registered nodes, by name."""
        return self._registry.nodes.list(REGISTERED, group)

    def unknown(self) -> Sequence[Node]:
        """Machines that were seen and that nobody registered yet; the last seen first."""
        found = self._registry.nodes.list((NodeState.DISCOVERED,))
        return sorted(found, key=lambda node: node.last_seen or 0.0, reverse=True)

    def groups(self) -> Sequence[str]:
        return self._registry.nodes.groups()

    # --- register
    # -----------------------------------------------------------------------------------------------

    def add(self, wanted: Wanted, arm: bool = True) -> Node:
        """Register a node, also one that was never seen. With an image it is armed once, unless `arm` is off.

        A MAC of a machine on the unknown list takes that machine. Raises Invalid, NotFound, Conflict.
        """
        if wanted.name is None:
            raise Invalid("a node needs a name")
        self._look_ahead(wanted)
        with self._registry.transaction():
            seen = [self._registry.nodes.by_mac(names.mac(mac)) for mac in wanted.macs or ()]
            for node in seen:
                if node is not None and node.state is NodeState.DISCOVERED:
                    return self._adopt(node, wanted, arm)
            if self._registry.nodes.by_name(names.label(wanted.name)) is not None:
                raise Conflict(f"name {names.label(wanted.name)} is taken")
            fresh = Node(id=0, name=None, macs=(), state=NodeState.REGISTERED, created=self._clock())
            return self._register(fresh, wanted, arm)

    def adopt(self, ref: str, wanted: Wanted, arm: bool = True) -> Node:
        """Give a machine of the unknown list a name and, with an image, arm it: it goes on by itself if it
        waits.

        The name of a registered node that has no MAC yet is that node: the machine becomes it.
        """
        if wanted.name is None:
            raise Invalid("a node needs a name")
        self._look_ahead(wanted)
        with self._registry.transaction():
            node = self.show(ref)
            if node.state is not NodeState.DISCOVERED:
                raise Conflict(f"{ref} is already registered as {node.name}")
            return self._adopt(node, wanted, arm)

    def _adopt(self, seen: Node, wanted: Wanted, arm: bool) -> Node:
        named = self._registry.nodes.by_name(names.label(wanted.name or ""))
        if named is None:
            return self._register(replace(seen, state=NodeState.REGISTERED), wanted, arm)
        if named.macs:
            raise Conflict(f"name {named.name} is taken (by {', '.join(named.macs)})")
        self._registry.nodes.remove(seen.id)
        merged = replace(
            named, macs=seen.macs, facts=seen.facts, firmware=seen.firmware, last_seen=seen.last_seen
        )  # fmt: skip
        self._registry.events.move(seen.id, named.id)
        wanted = replace(wanted, macs=wanted.macs or seen.macs)
        if wanted.method is None and wanted.address is None:
            wanted = replace(wanted, method=str(named.method))
        if arm and wanted.image is not None and merged.armed is not None:
            merged = replace(merged, armed=None)  # the image that is asked for now, not the one of back then
        return self._register(merged, wanted, arm)

    def _register(self, node: Node, wanted: Wanted, arm: bool) -> Node:
        if wanted.image is None and node.image is None and self._config.nodes.image is not None:
            wanted = replace(wanted, image=self._config.nodes.image)
        node = self._changed(node, wanted)
        method = node.method
        if wanted.method is None:
            method = AddressMethod.RESERVED if node.address is not None else AddressMethod.DYNAMIC
        node = replace(node, method=method)
        if arm and node.image is not None and node.armed is None and node.boots is not BootMode.DISKLESS:
            node = lifecycle.arm(node, self._images.bootable(node.image).ref, self._clock())
        return self._save(node, "node.registered", f"registered as {node.name}")

    def add_range(
        self, base: str, first: str, last: str, first_address: str | None = None, wanted: Wanted | None = None
    ) -> Sequence[Node]:
        """Register BASE+FIRST .. BASE+LAST, with addresses counted up from `first_address`. All of them or
        none.

        Leading zeros of `first` are kept. MACs in `wanted` are given out in order; without them the machines
        are adopted into their names later.
        """
        wanted = wanted or Wanted()
        members = nodeset.expand(f"{base}[{first.strip()}-{last.strip()}]")
        if len(members) > MAX_RANGE:
            raise Invalid(f"a range of {len(members)} nodes; at most {MAX_RANGE} at once")
        macs = list(wanted.macs or ())
        if len(macs) > len(members):
            raise Invalid(f"{len(macs)} MACs for {len(members)} nodes")
        start = names.address(first_address) if first_address else None
        self._look_ahead(wanted)
        with self._registry.transaction():
            made = []
            for place, name in enumerate(members):
                address = _counted(start, place)
                mac = macs[place : place + 1]
                made.append(self.add(replace(wanted, name=name, address=address, macs=mac)))
            return made

    # --- change
    # -------------------------------------------------------------------------------------------------

    def set(self, ref: str, wanted: Wanted) -> Node:
        """Change a registered node. A new image is used at its next imaging; nothing is armed by this."""
        self._look_ahead(wanted, self.show(ref))
        with self._registry.transaction():
            node = self.show(ref)
            if node.state is NodeState.DISCOVERED:
                raise Invalid(f"{ref} is not registered yet: adopt it first")
            changed = self._changed(node, wanted)
            if node.name and changed.name and changed.name != node.name:
                self._registry.profiles.rename("node", node.name, changed.name)
            told = changes(node, changed)
            return self._save(changed, "node.changed", f"changed: {', '.join(told)}" if told else "")

    def remove(self, ref: str, force: bool = False) -> None:
        """Forget a node. One that is being imaged only with `force`."""
        with self._registry.transaction():
            node = self.show(ref)
            if node.state is NodeState.IMAGING and not force:
                raise Conflict(f"{node.name} is being imaged; it goes only by force (--force, or ?force=1)")
            self._registry.identities.clear(node.id)
            Kept(self._config, self._registry).forget(node.id)
            self._registry.nodes.remove(node.id)
            for mac in node.macs:
                self._registry.tokens.revoke("boot", mac)
            self._registry.tokens.revoke("home", str(node.id))
            who = node.name or node.macs[0]
            self._registry.events.add(self._clock(), "node.removed", f"{who} removed", None, node.id)

    def _changed(self, node: Node, wanted: Wanted) -> Node:
        node = _cleared(node, wanted.clear)
        changes: dict[str, Any] = {}
        if wanted.name is not None:
            changes["name"] = names.label(wanted.name)
        if wanted.macs is not None and (wanted.macs or not node.macs):
            changes["macs"] = tuple(dict.fromkeys(names.mac(mac) for mac in wanted.macs))
        if wanted.address is not None:
            changes["address"] = names.address(wanted.address)
        if wanted.method is not None:
            changes["method"] = wishes.choice(AddressMethod, wanted.method, "address method")
        elif wanted.address is not None and node.method is AddressMethod.DYNAMIC:
            changes["method"] = AddressMethod.RESERVED
        if wanted.mode is not None:
            changes["mode"] = wishes.choice(BootMode, wanted.mode, "boot mode")
        changes["diskless"] = wishes.diskless(node.diskless, wanted)
        if wanted.image is not None:
            self._images.resolve(wanted.image)
            changes["image"] = wanted.image
        if wanted.groups is not None:
            changes["groups"] = tuple(sorted({names.group(group) for group in wanted.groups}))
            changes["inherited"] = self._registry.nodes.groups_boot(changes["groups"])
        if wanted.disk is not None:
            changes["disk"] = names.disk(wanted.disk)
        if wanted.layout is not None:
            changes["layout"] = checks.layout_name(self._config, wanted.layout)
        if wanted.profile is not None:
            changes["profile"] = checks.profile_name(self._registry, wanted.profile)
        if wanted.options is not None:
            merged = {**node.options, **wanted.options}
            changes["options"] = {key: value for key, value in merged.items() if value is not None}
            checks.options_fit(changes["options"])
        changed = replace(node, **changes)
        wishes.kept(node.diskless, changed.diskless, changed.root)
        return changed

    def _save(self, node: Node, kind: str, text: str) -> Node:
        checks.method_fits(node.method, node.address)
        if node.address is not None:
            checks.address_fits(self._config, node.address)
        if node.boots is BootMode.DISKLESS:
            wishes.fits(node.root)
            self._bootable_root(node)
        checks.nothing_taken(self._registry, node, self._clock())
        stored = self._registry.nodes.save(node)
        for mac in stored.macs:
            self._registry.events.claim(mac, stored.id)
        if text:  # nothing to tell: a form that was saved as it was
            self._registry.events.add(self._clock(), kind, text, None, stored.id)
        return stored

    def _look_ahead(self, wanted: Wanted, node: Node | None = None) -> None:
        groups = self._registry.nodes.groups_boot(tuple(wanted.groups or ()))
        modes = (wanted.mode, groups.mode, node and node.boots)
        if BootMode.DISKLESS in modes:
            self._images.look_ahead([wanted.image or (node.image if node else self._config.nodes.image)])

    def _bootable_root(self, node: Node) -> None:
        """Its image is one that can be a root: after the boot would be too late to find out."""
        if node.image is None:
            raise Needed(f"{node.name} is to boot diskless, and has no image", "image")
        self._images.rootable(node.image)


def _counted(start: IPv4Address | None, place: int) -> IPv4Address | None:
    if start is None:
        return None
    if int(start) + place > 0xFFFFFFFF:
        raise Invalid(f"the range runs past the last address, counted from {start}")
    return start + place


def _cleared(node: Node, keys: Sequence[str]) -> Node:
    for key in keys:
        if key == "address":
            node = replace(node, address=None, method=AddressMethod.DYNAMIC)
        elif key == "image":
            node = replace(node, image=None)
        elif key == "disk":
            node = replace(node, disk=None)
        elif key == "layout":
            node = replace(node, layout=None)
        elif key == "profile":
            node = replace(node, profile=None)
        elif key == "mode":
            node = replace(node, mode=None)
        elif key == "groups":
            node = replace(node, groups=(), inherited=GroupBoot())
        elif key in wishes.FIELDS:
            node = replace(node, diskless=wishes.cleared(node.diskless, key))
        else:
            known = "address, image, disk, layout, profile, groups, mode"
            raise Invalid(f"{key} cannot be cleared, but {known}, {', '.join(wishes.FIELDS)}")
    return node
