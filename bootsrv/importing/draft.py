"""Where a dialect collects what it reads, and the checks that all dialects share.

Dialects add subnets, hosts and notes as they meet them; `finish` makes one consistent whole: unique names,
MACs and addresses, pools inside their subnets, every subnet accepted by the engine's own check. What has
to give way gets a note. Two hosts with one address become one node with both MACs: that is how a machine
with two cards is written.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, IPv4Network
from typing import Any, TypeVar

from bootsrv.importing.imported import (
    MAX_TEXT,
    Imported,
    ImportedGroup,
    ImportedNode,
    ImportedSubnet,
    ImportFailed,
    Kind,
    Note,
)
from bootsrv.importing.values import BadWord, group_name, is_domain
from pxe.dhcp.subnet import MIN_LEASE_SECONDS, Mode, Pool, build_subnet
from pxe.errors import SettingError

Mark = TypeVar("Mark", str, tuple[str, str])  # what a machine is recognised by


@dataclass(slots=True)
class SubnetDraft:
    """A subnet while it is being read."""

    cidr: IPv4Network
    line: int
    lease_seconds: int
    pools: list[tuple[Pool, int]] = field(default_factory=list)
    options: dict[str, Any] = field(default_factory=dict)
    shared: str = ""
    unknown: bool = True
    bootp: bool = False
    interface: str = ""
    mode: Mode = Mode.AUTHORITATIVE


@dataclass(slots=True)
class Draft:
    """A file while it is being read."""

    source: str
    dialect: str
    subnets: list[SubnetDraft] = field(default_factory=list)
    nodes: list[ImportedNode] = field(default_factory=list)
    groups: dict[str, ImportedGroup] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    interfaces: list[str] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)

    def lost(self, line: int, text: str) -> None:
        """The old server did this; we will not."""
        self.notes.append(Note(self.source, line, Kind.LOST, text))

    def changed(self, line: int, text: str) -> None:
        """Taken over in another form."""
        self.notes.append(Note(self.source, line, Kind.CHANGED, text))

    def info(self, line: int, text: str) -> None:
        """Nothing to do."""
        self.notes.append(Note(self.source, line, Kind.INFO, text))

    def check_size(self, text: str) -> None:
        """Refuse what no person wrote."""
        if len(text) > MAX_TEXT:
            raise ImportFailed(self.source, 1, f"longer than {MAX_TEXT} characters")

    def subnet_of(self, address: IPv4Address) -> SubnetDraft | None:
        """The subnet that holds an address."""
        return next((subnet for subnet in self.subnets if address in subnet.cidr), None)

    def add_range(self, first: IPv4Address, last: IPv4Address, line: int) -> SubnetDraft | None:
        """Give a range to the subnet it lies in; a note when there is none."""
        if first > last:
            first, last = last, first
            self.changed(line, f"the range runs backwards; read as {first}-{last}")
        subnet = self.subnet_of(first)
        if subnet is None or last not in subnet.cidr:
            self.lost(line, f"the range {first}-{last} lies in no subnet of this file")
            return None
        subnet.pools.append((Pool(first, last), line))
        return subnet

    def group(self, name: str, line: int) -> str:
        """Make sure of a group; its clean name. The same name is the same group."""
        try:
            clean = group_name(name)
        except BadWord:
            clean = f"group-{line}"
        if clean != name and clean not in self.groups:
            self.changed(line, f"the group {name!r} is called {clean}")
        self.groups.setdefault(clean, ImportedGroup(clean, line=line))
        return clean

    def new_group(self, name: str, line: int) -> str:
        """A group of its own; its clean name. `name` "": the file gives it none."""
        label, number = name or f"group-{line}", 1
        while label in self.groups:
            number += 1
            label = f"{name or f'group-{line}'}-{number}"
        if name and number > 1:
            self.changed(line, f"there is a group {name} already; this one is {label}")
        return self.group(label, line)

    def group_options(self, name: str, options: dict[str, Any]) -> None:
        """Add options to a group that `group` made."""
        self.groups[name] = replace(self.groups[name], options={**self.groups[name].options, **options})

    def finish(self) -> Imported:
        """The frozen whole."""
        domain = ""
        if is_domain(str(self.options.get("domain-name", ""))):
            domain = str(self.options.pop("domain-name")).lower()
        subnets = self._finish_subnets()
        nodes = tuple(self._settled(node) for node in self._finish_nodes())
        used = {name for node in nodes for name in node.groups}
        for group in self.groups.values():
            if group.name not in used and group.options:
                self.info(group.line, f"the group {group.name} has options but no machines")
        return Imported(
            self.source,
            self.dialect,
            subnets,
            nodes,
            tuple(self.groups.values()),
            dict(self.options),
            domain,
            tuple(dict.fromkeys(self.interfaces)),
            tuple(sorted(self.notes, key=lambda note: note.line)),
        )

    def _finish_subnets(self) -> tuple[ImportedSubnet, ...]:
        finished: list[ImportedSubnet] = []
        for draft in sorted(self.subnets, key=lambda draft: draft.line):
            overlap = next((other for other in finished if other.cidr.overlaps(draft.cidr)), None)
            if overlap is not None:
                self.lost(draft.line, f"subnet {draft.cidr} overlaps {overlap.cidr} of line {overlap.line}")
                continue
            subnet = self._finish_subnet(draft)
            try:
                build_subnet(subnet.table())
            except SettingError as error:
                self.lost(draft.line, f"subnet {draft.cidr}: {error}")
                continue
            finished.append(subnet)
        return tuple(finished)

    def _finish_subnet(self, draft: SubnetDraft) -> ImportedSubnet:
        lease = draft.lease_seconds
        if lease < MIN_LEASE_SECONDS:
            self.changed(
                draft.line, f"leases of {lease} s become {MIN_LEASE_SECONDS} s, the shortest there are"
            )
            lease = MIN_LEASE_SECONDS
        options = dict(draft.options)
        for name, value in (
            ("subnet-mask", draft.cidr.netmask),
            ("broadcast-address", draft.cidr.broadcast_address),
        ):
            if options.get(name) == str(value):
                del options[name]  # follows from the network itself
        routers = options.get("routers") or []
        inside = [IPv4Address(text) for text in routers if IPv4Address(text) in draft.cidr]
        if len(inside) == len(routers):
            options.pop("routers", None)
        else:
            inside = []  # a gateway outside the network can only be said as an option
        return ImportedSubnet(
            draft.cidr,
            draft.line,
            draft.mode,
            self._pools(draft),
            tuple(inside),
            lease,
            options,
            draft.shared,
            draft.unknown,
            draft.bootp,
            draft.interface,
        )

    def _pools(self, draft: SubnetDraft) -> tuple[Pool, ...]:
        """Pools without overlaps and without the network's own two addresses."""
        lowest, highest = draft.cidr.network_address, draft.cidr.broadcast_address
        if draft.cidr.prefixlen < 31:
            lowest, highest = lowest + 1, highest - 1
        kept: list[Pool] = []
        for pool, line in sorted(draft.pools, key=lambda item: (item[0].first, item[1])):
            first, last = max(pool.first, lowest), min(pool.last, highest)
            if (first, last) != (pool.first, pool.last):
                self.changed(line, f"the range {pool} was cut to the host addresses of {draft.cidr}")
            if kept and first <= kept[-1].last:
                self.changed(line, f"the range {pool} overlaps {kept[-1]}; they became one")
                kept[-1] = Pool(kept[-1].first, max(last, kept[-1].last))
            elif first <= last:
                kept.append(Pool(first, last))
        return tuple(kept)

    def _finish_nodes(self) -> tuple[ImportedNode, ...]:
        nodes: dict[str, ImportedNode] = {}
        macs: dict[str, str] = {}
        addresses: dict[IPv4Address, str] = {}
        identities: dict[tuple[str, str], str] = {}
        for node in sorted(self.nodes, key=lambda node: node.line):
            fresh = self._fresh(node, node.macs, macs)
            known = self._fresh(node, node.identities, identities)
            if not fresh and not known:
                continue
            owner = addresses.get(node.address) if node.address is not None else None
            if owner is not None:
                self._join(nodes, owner, node, fresh, known)
            else:
                owner = self._free_name(node, nodes)
                nodes[owner] = replace(node, name=owner, macs=fresh, identities=known)
                if node.address is not None:
                    addresses[node.address] = owner
            macs.update(dict.fromkeys(fresh, owner))
            identities.update(dict.fromkeys(known, owner))
        return tuple(nodes.values())

    def _fresh(self, node: ImportedNode, marks: tuple[Mark, ...], taken: dict[Mark, str]) -> tuple[Mark, ...]:
        """Of a node's MACs or identities those that no earlier one has."""
        for mark in marks:
            if mark in taken:
                text = mark if isinstance(mark, str) else " ".join(mark)
                self.lost(node.line, f"{node.name}: {text} already belongs to {taken[mark]}")
        return tuple(dict.fromkeys(mark for mark in marks if mark not in taken))

    def _settled(self, node: ImportedNode) -> ImportedNode:
        """Groups have no order in the registry: where two of a node differ, the later becomes its own."""
        merged: dict[str, Any] = {}
        differing: set[str] = set()
        for name in node.groups:
            options = self.groups[name].options
            differing.update(key for key, value in options.items() if merged.get(key, value) != value)
            merged.update(options)
        return replace(node, options={**{key: merged[key] for key in differing}, **node.options})

    def _join(
        self, nodes: dict[str, ImportedNode], owner: str, node: ImportedNode, macs: tuple[str, ...],
        identities: tuple[tuple[str, str], ...],
    ) -> None:  # fmt: skip
        first = nodes[owner]
        nodes[owner] = replace(
            first,
            macs=first.macs + macs,
            identities=first.identities + identities,
            groups=tuple(dict.fromkeys(first.groups + node.groups)),
            options={**node.options, **first.options},
        )
        what = "its MAC" if macs else "its identity"
        self.changed(node.line, f"{node.name} has the address of {owner}: {what} was added to {owner}")

    def _free_name(self, node: ImportedNode, taken: dict[str, ImportedNode]) -> str:
        if node.name not in taken:
            return node.name
        number = 2
        while f"{node.name[:58]}-{number}" in taken:
            number += 1
        name = f"{node.name[:58]}-{number}"
        self.changed(
            node.line, f"the name {node.name} is taken (line {taken[node.name].line}); this one is {name}"
        )
        return name
