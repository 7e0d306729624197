"""Keeps a machine from loading the boot loader over and over.

An iPXE in a ROM is sent our own iPXE first. If that one cannot be told from the ROM's (see `client`), it
would be sent itself for ever. The law: a machine that was sent our loader and looks for a server again
within WINDOW_SECONDS is running it, whatever it says, and is sent on. Pure.
"""

from __future__ import annotations

from dataclasses import replace

from pxe.dhcp.codes import Kind
from pxe.dhcp.ports import Client, Stage

WINDOW_SECONDS = 120.0  # loading it takes seconds; a person who switches a machine off and on takes longer
MOST = 50_000  # machines remembered


class Chain:
    """Which machines are on their way from an old iPXE to ours."""

    def __init__(self) -> None:
        self._sent: dict[str, float] = {}  # MAC -> when it was last sent the loader
        self._ours: dict[str, float] = {}  # MAC -> when it came back

    def look(self, client: Client, kind: Kind | None, now: float) -> Client:
        """The client as it should be treated."""
        if client.stage is not Stage.OLD_IPXE:
            return client
        if kind is Kind.DISCOVER:
            when = self._sent.pop(client.mac, None)
            self._ours.pop(client.mac, None)
            if when is not None and 0 <= now - when <= WINDOW_SECONDS:
                self._note(self._ours, client.mac, now)
        when = self._ours.get(client.mac)
        if when is None or not 0 <= now - when <= WINDOW_SECONDS:
            return client
        return replace(client, stage=Stage.IPXE)

    def sent(self, client: Client, kind: Kind | None, now: float) -> None:
        """A boot file went to this client; only what ends the exchange counts, an OFFER may be repeated."""
        if client.stage is Stage.OLD_IPXE and kind is not Kind.DISCOVER:
            self._note(self._sent, client.mac, now)

    @staticmethod
    def _note(table: dict[str, float], mac: str, now: float) -> None:
        if len(table) >= MOST:
            table.clear()
        table[mac] = now
