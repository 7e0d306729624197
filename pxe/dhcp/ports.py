"""What the DHCP engine needs from above, as Protocols. The house implements them; the engine never looks up.

The law: everything here is called from the responder's decision, so an implementation answers from memory or
from an indexed look-up, never from the network.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import IPv4Address
from typing import Any, Protocol


class Stage(StrEnum):
    """Which program on the machine asks."""

    FIRMWARE = "firmware"  # PXE or HTTP Boot of the firmware (option 60 PXEClient / HTTPClient)
    IPXE = "ipxe"  # an iPXE new enough to be trusted with HTTP (ours, or one as recent)
    OLD_IPXE = "old-ipxe"  # an iPXE in a ROM that had better be replaced by ours first
    SYSTEM = "system"  # anything else: an operating system, the imager, a printer


@dataclass(slots=True, unsafe_hash=True)  # nobody changes one, as with wire.Packet
class Client:
    """Who asks, as the packet says."""

    mac: str
    stage: Stage
    client_id: bytes | None = None
    uuid: str | None = None  # option 97, canonical text
    arch: int | None = None  # option 93, IANA processor architecture
    http_boot: bool = False  # option 60 begins with HTTPClient
    vendor_class: str = ""
    hostname: str = ""
    circuit_id: bytes | None = None  # option 82.1
    remote_id: bytes | None = None  # option 82.2
    fqdn: bytes = b""  # option 81 as it came


@dataclass(frozen=True, slots=True)
class Host:
    """What the registry knows of a client. `options` by ISC name: group and node level, which win over the
    subnet's (a fully layered table works too)."""

    name: str | None
    address: IPv4Address | None  # a reservation; None: any address of a pool
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class BootFile:
    """What the machine should load next: a URL for HTTP clients and iPXE, a path for TFTP clients."""

    filename: str
    server: IPv4Address
    reason: str = ""  # for the flight recorder


@dataclass(frozen=True, slots=True)
class Lease:
    """One address given out. Times are epoch seconds. `state`: "bound", "declined", "released"."""

    address: IPv4Address
    mac: str
    client_id: bytes | None
    expires: float
    hostname: str = ""
    state: str = "bound"


class Hosts(Protocol):
    """The registry, seen from DHCP."""

    def look(self) -> None:
        """Called before each batch of packets: what was answered before need not be true any more. Raises
        OSError."""

    def find(self, client: Client) -> Host | None:
        """The host that this client is, or None when it is unknown."""

    def reserved(self, address: IPv4Address) -> bool:
        """Whether an address belongs to a registered host, and so must not be given from a pool."""


    def named(self, name: str) -> bool:
        """Whether a name (one label, lower case) is a registered host's or our own."""


class Boots(Protocol):
    """The boot plan, seen from DHCP."""

    def decide(self, client: Client, server: IPv4Address) -> BootFile | None:
        """What it should load from `server` (our address on its network); None: offer no boot file.

        Called for each OFFER and ACK, so it must not change anything."""


class Leases(Protocol):
    """Durable leases."""

    def load(self) -> Iterable[Lease]:
        """Every lease on record, at start."""

    def commit(self, batch: Sequence[Lease]) -> None:
        """Store a batch; it is on disk when this returns. Raises OSError when it could not be stored."""

    def taken_back(self) -> Iterable[IPv4Address]:
        """Addresses whose leases a person ended, until the end is committed. Asked every few seconds."""


class Journal(Protocol):
    """Where steps of a boot are recorded (the flight recorder). Must not block on the network."""

    def rushed(self) -> bool:
        """Whether so much is to be recorded that steps of strangers' systems should be left out."""

    def record(self, mac: str, kind: str, text: str, data: Mapping[str, Any] | None = None) -> None:
        """Record one event (`dhcp.discover`, `dhcp.offer`, ...)."""
