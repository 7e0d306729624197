"""What was read from another server's configuration: the nouns that every dialect ends in.

The law: whatever a file says is either in `subnets`, `nodes`, `groups` and `options`, or there is a Note
with its line. Nothing is dropped in silence, because the reader of the notes decides whether the old
server can be switched off. Pure values; option values are as `pxe.dhcp.options` decodes them, so they can
be set as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from bootsrv.errors import Invalid
from pxe.dhcp.subnet import Mode, Pool

MAX_TEXT = 16 * 1024 * 1024  # characters; far beyond any real file

Options = Mapping[str, Any]
Resolve = Callable[[str], IPv4Address | None]


class ImportFailed(Invalid):
    """The file cannot be read as what it is said to be; the text is `FILE:LINE: reason`."""

    def __init__(self, source: str, line: int, reason: str) -> None:
        super().__init__(f"{source}:{line}: {reason}")
        self.source = source
        self.line = line
        self.reason = reason


class Kind(StrEnum):
    """What a note means for the reader."""

    LOST = "lost"  # the old server did something that is not taken over
    CHANGED = "changed"  # taken over, in another form
    INFO = "info"  # needs nothing: bootsrv has no such switch, or always does this


@dataclass(frozen=True, slots=True)
class Note:
    """One remark about one line of the file."""

    source: str
    line: int
    kind: Kind
    text: str

    def __str__(self) -> str:
        return f"{self.source}:{self.line}: {self.kind}: {self.text}"


@dataclass(frozen=True, slots=True)
class ImportedSubnet:
    """One `[[subnets]]` table to be. `line` is where the file declares it."""

    cidr: IPv4Network
    line: int = 0
    mode: Mode = Mode.AUTHORITATIVE
    pools: tuple[Pool, ...] = ()
    routers: tuple[IPv4Address, ...] = ()
    lease_seconds: int = 3600
    options: Options = field(default_factory=dict)
    shared: str = ""
    unknown: bool = True
    bootp: bool = False
    interface: str = ""

    def table(self) -> dict[str, Any]:
        """Plain values as the configuration file has them; what is at its default is left out."""
        table: dict[str, Any] = {"cidr": str(self.cidr), "mode": str(self.mode)}
        if self.interface:
            table["interface"] = self.interface
        if self.shared:
            table["shared"] = self.shared
        if self.pools:
            table["pools"] = [str(pool) for pool in self.pools]
        if self.routers:
            table["routers"] = [str(router) for router in self.routers]
        table["lease_seconds"] = self.lease_seconds
        if not self.unknown:
            table["unknown"] = False
        if self.bootp:
            table["bootp"] = True
        if self.options:
            table["options"] = dict(self.options)
        return table


@dataclass(frozen=True, slots=True)
class ImportedNode:
    """One machine. `address` None: any address of a pool. `options` are its own, not those of its groups.
    `identities`: what else it is recognised by, as (kind, 0x and hexadecimal)."""

    name: str
    macs: tuple[str, ...]
    address: IPv4Address | None = None
    groups: tuple[str, ...] = ()
    options: Options = field(default_factory=dict)
    line: int = 0
    identities: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class ImportedGroup:
    """Machines that share options."""

    name: str
    options: Options = field(default_factory=dict)
    line: int = 0


@dataclass(frozen=True, slots=True)
class Imported:
    """A whole file. `options` are for every machine (the `[dhcp]` table's), `domain` the top-level key."""

    source: str
    dialect: str
    subnets: tuple[ImportedSubnet, ...] = ()
    nodes: tuple[ImportedNode, ...] = ()
    groups: tuple[ImportedGroup, ...] = ()
    options: Options = field(default_factory=dict)
    domain: str = ""
    interfaces: tuple[str, ...] = ()
    notes: tuple[Note, ...] = ()
