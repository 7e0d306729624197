"""What follows from one packet: leases to store, answers to send, notes for the flight recorder. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from typing import Any

from pxe.dhcp.codes import Kind
from pxe.dhcp.leases import Change
from pxe.dhcp.ports import BootFile
from pxe.dhcp.replies import Asked, Reply

Said = str | tuple[object, ...]
KINDS: dict[Kind | None, str] = {None: "dhcp.bootp", **{kind: f"dhcp.{kind.name.lower()}" for kind in Kind}}


@dataclass(frozen=True, slots=True)
class Note:
    """One event for the journal."""

    mac: str
    kind: str
    text: str
    data: Mapping[str, Any] = field(default_factory=dict)


class Step:
    """The note about one request or answer; put into words when somebody reads it, since most are not: under
    load, what strangers' systems do is not recorded."""

    __slots__ = ("_address", "_asked", "_boot", "_kind", "_said")

    def __init__(
        self, asked: Asked, kind: Kind | None, said: Said, address: IPv4Address | None, boot: BootFile | None
    ) -> None:
        self._asked, self._kind, self._said, self._address, self._boot = asked, kind, said, address, boot

    @property
    def mac(self) -> str:
        return self._asked.client.mac

    @property
    def kind(self) -> str:
        return KINDS[self._kind]

    @property
    def text(self) -> str:
        said = self._said
        return said if isinstance(said, str) else "".join(map(str, said))

    @property
    def data(self) -> Mapping[str, Any]:
        """The facts that a timeline shows."""
        client = self._asked.client
        data: dict[str, Any] = {"interface": self._asked.arrival.interface, "stage": client.stage.value}
        if client.arch is not None:
            data["arch"] = client.arch
        if client.http_boot:
            data["http"] = True
        if client.uuid is not None:
            data["uuid"] = client.uuid
        if self._address is not None:
            data["address"] = str(self._address)
        if self._boot is not None:
            data["file"] = self._boot.filename
            if self._boot.reason:
                data["reason"] = self._boot.reason
        return data


@dataclass(slots=True)
class Outcome:
    """What follows from one packet: store `changes`, then send `replies`; `notes` say what happened.
    `check`: an offered address that should be looked for on the wire before the offer leaves. `routine`: it
    is about the system of a machine that nobody registered. `rival`: another server, which a client chose.
    `trouble`: what a person should know, as the kind of an event and a text; it is told once a minute."""

    replies: list[Reply] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    notes: list[Note | Step] = field(default_factory=list)
    check: IPv4Address | None = None
    routine: bool = False
    rival: IPv4Address | None = None
    trouble: tuple[str, str] | None = None

    def tell(
        self, asked: Asked, kind: Kind | None, said: Said, address: IPv4Address | None, boot: BootFile | None
    ) -> None:
        """Add a note about a request; `said` is a text, or its parts."""
        self.notes.append(Step(asked, kind, said, address, boot))
