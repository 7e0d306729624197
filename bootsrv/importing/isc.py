"""ISC dhcpd.conf -> Imported. dhcpd.conf(5), "DECLARATIONS".

Scopes nest as in the file: what a block says holds for the blocks inside it unless they say otherwise.
Ours are appliance < subnet < group < node, which is the order nearly every file has; where a file's
nesting says something that this order cannot, there is a note. The law: every statement is taken over or
noted. Pure; `resolve` is the caller's way to look up the names that dhcpd would look up.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from ipaddress import IPv4Address

from bootsrv.importing import values
from bootsrv.importing.draft import Draft, SubnetDraft
from bootsrv.importing.imported import Imported, ImportedNode, Resolve
from bootsrv.importing.isc_scope import HostDraft, Scope
from bootsrv.importing.isc_statements import Statements
from bootsrv.importing.isc_tree import Statement, parse
from bootsrv.importing.values import BadWord


def read(text: str, source: str, resolve: Resolve = lambda name: None) -> Imported:
    """Read a dhcpd.conf. Raises ImportFailed with the line where the text is no such file."""
    draft = Draft(source, "isc")
    draft.check_size(text)
    statements = Statements(draft, resolve)
    _Blocks(draft, statements).read(parse(text, source), Scope("file", draft.options))
    statements.settle_ranges()
    return draft.finish()


class _Blocks:
    def __init__(self, draft: Draft, statements: Statements) -> None:
        self._draft = draft
        self._statements = statements
        self._handlers: dict[str, Callable[[Scope, Statement], None]] = {
            "subnet": self._subnet,
            "shared-network": self._shared_network,
            "group": self._group,
            "pool": self._pool,
            "host": self._host,
        }

    def read(self, statements: Sequence[Statement], scope: Scope) -> None:
        """Everything in one block: first what it says about itself, wherever that stands, then its blocks.

        Pools and hosts come last: a pool of a shared network lies in a subnet that may be declared after it.
        """
        blocks = [item for item in statements if item.block is not None]
        for statement in statements:
            if statement.block is None:
                self._statements.read(scope, statement)
        if scope.kind in ("shared-network", "group"):
            scope.around.update(scope.options)
        if scope.kind == "subnet" and scope.subnet is not None:
            scope.subnet.lease_seconds = scope.lease
            scope.subnet.unknown = scope.unknown
        for statement in sorted(blocks, key=lambda item: item.keyword in ("pool", "host")):
            self._handlers.get(statement.keyword, self._refused)(scope, statement)

    def _refused(self, scope: Scope, statement: Statement) -> None:
        self._statements.refuse(statement)

    def _subnet(self, scope: Scope, statement: Statement) -> None:
        words = statement.words
        try:
            if len(words) != 4 or words[2].text.lower() != "netmask":
                raise BadWord("not as in: subnet 10.0.0.0 netmask 255.255.255.0")
            cidr = values.network(words[1].text, words[3].text)
        except BadWord as error:
            self._draft.lost(statement.line, f"{statement.text()}: {error}; nothing in its braces was read")
            return
        subnet = SubnetDraft(cidr, statement.line, scope.lease, shared=scope.shared)
        subnet.options.update(scope.around)
        self._draft.subnets.append(subnet)
        inner = scope.inner("subnet", subnet.options)
        inner.subnet, inner.groups = subnet, ()
        self.read(statement.block or (), inner)

    def _shared_network(self, scope: Scope, statement: Statement) -> None:
        inner = scope.inner("shared-network")
        named = len(statement.words) > 1
        inner.shared = statement.words[1].text if named else f"shared-{statement.line}"
        self.read(statement.block or (), inner)

    def _group(self, scope: Scope, statement: Statement) -> None:
        named = len(statement.words) > 1
        name = self._draft.new_group(statement.words[1].text if named else "", statement.line)
        before = len(self._draft.nodes)
        inner = scope.inner("group")
        inner.groups = (*scope.groups, name)
        self.read(statement.block or (), inner)
        if inner.options:
            self._draft.group_options(name, inner.options)
        elif not named:
            self._forget_group(name, before)

    def _forget_group(self, name: str, before: int) -> None:
        """A group without a name and without options only ordered the file. Its nodes start at `before`."""
        del self._draft.groups[name]
        for place, node in enumerate(self._draft.nodes[before:], before):
            kept = tuple(group for group in node.groups if group != name)
            self._draft.nodes[place] = replace(node, groups=kept)

    def _pool(self, scope: Scope, statement: Statement) -> None:
        inner = scope.inner("pool")
        ranges = [item for item in statement.block or () if item.keyword == "range"]
        self.read([item for item in statement.block or () if item.keyword != "range"], inner)
        if inner.allowed:  # a list of who may come in keeps all others out
            inner.unknown = bool(inner.allowed & {"unknown-clients", "all"})
        self.read(ranges, inner)
        if inner.options:
            names = ", ".join(inner.options)
            self._draft.lost(statement.line, f"options of a pool ({names}): set them on the subnet")
        if inner.lease != scope.lease:
            self._draft.lost(statement.line, "the lease time of a pool: it is set per subnet")

    def _host(self, scope: Scope, statement: Statement) -> None:
        inner = scope.inner("host")
        host = inner.host = HostDraft()
        self.read(statement.block or (), inner)
        label = statement.words[1].text if len(statement.words) > 1 else ""
        line = statement.line
        try:
            name = values.node_name(label)
        except BadWord as error:
            self._draft.lost(line, f"host: {error}")
            return
        if not host.macs and not host.identities:
            self._draft.lost(
                line, f"host {label}: recognised by nothing; register it by hand (`bootsrv node add`)"
            )
            return
        if label.lower() != name:
            self._draft.changed(line, f"host {label} is called {name}")
        if inner.options.get("host-name") == name:
            del inner.options["host-name"]
        address = self._address(scope, host, label, line)
        node = ImportedNode(name, tuple(host.macs), address, inner.groups, inner.options, line,
                            tuple(host.identities))  # fmt: skip
        self._draft.nodes.append(node)

    def _address(self, scope: Scope, host: HostDraft, label: str, line: int) -> IPv4Address | None:
        """A node has one address. dhcpd gives options by the subnet a host stands in, we by its address."""
        if not host.addresses:
            return None
        address, *others = host.addresses
        if others:
            text = ", ".join(str(other) for other in others)
            self._draft.lost(line, f"host {label}: a node has one address; not taken over: {text}")
        if scope.subnet is not None and address not in scope.subnet.cidr:
            where = f"is written in subnet {scope.subnet.cidr}, but gets options by its own address"
            self._draft.changed(line, f"host {label} {where}")
        return address
