"""What holds inside one block of a dhcpd.conf while it is read, and what a host block gathers. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import IPv4Address
from typing import Any

from bootsrv.importing.draft import SubnetDraft
from bootsrv.importing.isc_tree import Statement
from bootsrv.importing.values import BadWord

DEFAULT_LEASE = 43200  # seconds; what dhcpd gives when a file says nothing


@dataclass(slots=True)
class HostDraft:
    """A `host` block while it is being read."""

    macs: list[str] = field(default_factory=list)
    addresses: list[IPv4Address] = field(default_factory=list)
    identities: list[tuple[str, str]] = field(default_factory=list)


@dataclass(slots=True)
class Scope:
    """One block. `options` is where its option statements go."""

    kind: str  # file, shared-network, subnet, pool, group, host
    options: dict[str, Any]
    lease: int = DEFAULT_LEASE  # seconds
    unknown: bool = True  # whether clients without a host block get addresses
    shared: str = ""
    subnet: SubnetDraft | None = None
    around: dict[str, Any] = field(default_factory=dict)  # options of shared networks and groups around
    groups: tuple[str, ...] = ()
    host: HostDraft | None = None
    allowed: set[str] = field(default_factory=set)  # who the `allow` statements of a pool name

    def inner(self, kind: str, options: dict[str, Any] | None = None) -> Scope:
        """A block inside this one: it starts with what holds here, and with options of its own."""
        return Scope(
            kind,
            {} if options is None else options,
            self.lease,
            self.unknown,
            self.shared,
            self.subnet,
            dict(self.around),
            self.groups,
            self.host,
        )


def only_word(statement: Statement) -> str:
    """The one word after the keyword."""
    if len(statement.words) != 2:
        raise BadWord("one value is wanted")
    return statement.words[1].text
