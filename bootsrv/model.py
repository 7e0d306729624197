"""The nouns of the house: frozen records that every other file passes around.

Times are seconds since the epoch (float, UTC). MAC addresses are lower-case and colon-separated, IPv4
addresses are `ipaddress` objects. Nothing here does IO or knows how it is stored.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import IPv4Address
from typing import Any


class BootMode(StrEnum):
    """What a node boots when nothing is armed."""

    LOCAL = "local"
    DISCOVER = "discover"
    DISKLESS = "diskless"  # a version of its image as root, over the network or in memory


class RootKind(StrEnum):
    """How a diskless machine gets its root."""

    RAM = "ram"  # fetched whole, kept in memory: the server is not needed after the boot
    NFS = "nfs"
    NBD = "nbd"


class Writes(StrEnum):
    """What becomes of what a diskless machine writes."""

    DISCARD = "discard"  # kept in memory, gone with the next boot
    COMPRESS = "compress"  # the same, compressed, where the image's kernel can
    KEEP = "keep"  # kept on the server
    PATHS = "paths"  # only what lies below some paths is kept

    @property
    def stay(self) -> bool:
        """Whether any of it outlives the boot."""
        return self in (Writes.KEEP, Writes.PATHS)


@dataclass(frozen=True, slots=True)
class Diskless:
    """How somebody wants a root; None: not said, so the groups' or the default."""

    root: RootKind | None = None
    writes: Writes | None = None
    paths: tuple[str, ...] | None = None  # absolute; with Writes.PATHS
    limit: int | None = None  # bytes that may be written

    def over(self, other: Diskless) -> Diskless:
        """What is said here, and `other`'s for the rest."""
        return Diskless(
            root=self.root if self.root is not None else other.root,
            writes=self.writes if self.writes is not None else other.writes,
            paths=self.paths if self.paths is not None else other.paths,
            limit=self.limit if self.limit is not None else other.limit,
        )


@dataclass(frozen=True, slots=True)
class GroupBoot:
    """What a group says about how its nodes boot."""

    mode: BootMode | None = None
    diskless: Diskless = Diskless()
    profile: str | None = None  # of its answer files

    def over(self, other: GroupBoot) -> GroupBoot:
        """What is said here, and `other`'s for the rest."""
        return GroupBoot(
            self.mode or other.mode, self.diskless.over(other.diskless), self.profile or other.profile
        )


@dataclass(frozen=True, slots=True)
class Root:
    """A diskless machine's root, all of it said."""

    kind: RootKind = RootKind.RAM
    writes: Writes = Writes.DISCARD
    paths: tuple[str, ...] = ()
    limit: int | None = None  # bytes that may be written; None: as much as there is room for


@dataclass(frozen=True, slots=True)
class Rooted:
    """The root that a machine was handed at its last boot: in use until it boots something else."""

    image: str  # NAME@NUMBER
    root: Root
    at: float


class AddressMethod(StrEnum):
    """How a node gets its address: the four methods SystemImager users know."""

    RESERVED = "reserved"  # DHCP, always the registered address
    DYNAMIC = "dynamic"  # DHCP, any address of a pool
    STATIC = "static"  # DHCP while imaging, then written into the node's own files
    UNTOUCHED = "untouched"  # the image's network files are left as they are


class NodeState(StrEnum):
    """Where a machine is in its life; each change is an event."""

    DISCOVERED = "discovered"  # seen on the wire, nobody registered it yet
    REGISTERED = "registered"  # has a name and perhaps an image
    ARMED = "armed"  # will be imaged at its next boot
    IMAGING = "imaging"  # the imager, or an installer, is at work; its disk must not be booted
    INSTALLED = "installed"  # imaged, has not called home yet
    RUNNING = "running"  # called home from its own disk
    FAILED = "failed"  # imaging stopped with an error; waits for a retry


@dataclass(frozen=True, slots=True)
class CaptureOrder:
    """What an imager is to upload: the machine's `tree`, or its whole `disk`. `words` are the agent's options
    (what is left out, what is taken along)."""

    kind: str
    comment: str = ""
    words: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class InstallOrder:
    """What a distribution's own installer is to do: by which profile, from which tree."""

    profile: str
    tree: str


@dataclass(frozen=True, slots=True)
class Armed:
    """One asked-for reimaging, installation, or capture. It is gone once its success was reported."""

    image: str  # NAME@NUMBER, resolved when it was armed; a capture's NAME, an installation's tree
    at: float
    wipe: bool = False
    attempts: int = 0  # boots that started on it; a bound keeps a crashing machine from looping
    capture: CaptureOrder | None = None
    install: InstallOrder | None = None

    @property
    def what(self) -> str:
        """What is written to the disk, in words."""
        return f"{self.install.profile} from {self.install.tree}" if self.install is not None else self.image

    @property
    def doing(self) -> str:
        """What the machine is busy with while it is carried out."""
        if self.capture is not None:
            return "capturing"
        return "imaging" if self.install is None else "installing"


@dataclass(frozen=True, slots=True)
class Node:
    """One machine. `id` is stable; name, MACs and address may change under it."""

    id: int
    name: str | None  # None while only discovered
    macs: tuple[str, ...]
    state: NodeState
    address: IPv4Address | None = None
    method: AddressMethod = AddressMethod.RESERVED
    image: str | None = None  # NAME or NAME@TAG as the admin wrote it
    mode: BootMode | None = None  # None: its groups', or its own disk
    diskless: Diskless = field(default_factory=Diskless)
    inherited: GroupBoot = field(default_factory=GroupBoot)  # its groups' word; read, never written, with it
    rooted: Rooted | None = None
    armed: Armed | None = None
    groups: tuple[str, ...] = ()
    options: Mapping[str, str | int | bool | list[str]] = field(default_factory=dict)  # DHCP, by ISC name
    disk: str | None = None  # which disk to image: "/dev/vda", "serial:...", None = the smallest that fits
    layout: str | None = None  # name of a declared disk layout; None = the image's, or the default
    profile: str | None = None  # by which its own distribution's installer installs it; None: its groups'
    facts: Mapping[str, Any] = field(default_factory=dict)  # inventory as the imager reported it
    firmware: str | None = None  # "bios" | "uefi", from the wire
    running: str | None = None  # NAME@NUMBER it last called home with
    error: str | None = None  # why it is FAILED
    half_written: bool = False  # an imaging has begun on its disk and not ended: it must not be booted
    created: float = 0.0
    last_seen: float | None = None

    @property
    def boots(self) -> BootMode:
        """What it boots when nothing is armed: its own word, its groups', or its own disk."""
        return self.mode or self.inherited.mode or BootMode.LOCAL

    @property
    def answers(self) -> str | None:
        """The profile of its answer files: its own, or its groups'."""
        return self.profile or self.inherited.profile

    @property
    def root(self) -> Root:
        """How it gets its root when it boots diskless."""
        said = self.diskless.over(self.inherited.diskless)
        return Root(said.root or RootKind.RAM, said.writes or Writes.DISCARD, said.paths or (), said.limit)


@dataclass(frozen=True, slots=True)
class AnswerText:
    """One version of a text that answer files are made of: a profile, or a layer. `at`: epoch seconds."""

    kind: str
    name: str
    number: int
    text: str
    at: float
    author: str
    comment: str

    @property
    def ref(self) -> str:
        """Its name as a person writes it, without the version."""
        if self.kind == "defaults":
            return self.kind
        return self.name if self.kind == "profile" else f"{self.kind}:{self.name}"


@dataclass(frozen=True, slots=True)
class Event:
    """One step in a machine's life. `kind` is dotted (`dhcp.discover`, `deploy.progress`); `boot` groups a
    timeline."""

    id: int
    at: float
    node: int | None
    mac: str | None
    boot: int | None
    kind: str
    text: str
    data: Mapping[str, Any] = field(default_factory=dict)
