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


@dataclass(frozen=True, slots=True)
class Note:
    """One event for the journal."""

    mac: str
    kind: str
    text: str
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Outcome:
    """What follows from one packet: store `changes`, then send `replies`; `notes` say what happened.
    `check`: an offered address that should be looked for on the wire before the offer leaves."""

    replies: list[Reply] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    check: IPv4Address | None = None

    def tell(
        self, asked: Asked, kind: Kind | None, text: str, address: IPv4Address | None, boot: BootFile | None
    ) -> None:
        """Add a note about a request: `dhcp.` and its kind, and the facts a timeline shows."""
        client = asked.client
        data: dict[str, Any] = {"interface": asked.arrival.interface, "stage": client.stage.value}
        if client.arch is not None:
            data["arch"] = client.arch
        if client.http_boot:
            data["http"] = True
        if client.uuid is not None:
            data["uuid"] = client.uuid
        if address is not None:
            data["address"] = str(address)
        if boot is not None:
            data["file"] = boot.filename
            if boot.reason:
                data["reason"] = boot.reason
        name = "bootp" if kind is None else kind.name.lower()
        self.notes.append(Note(client.mac, f"dhcp.{name}", text, data))
