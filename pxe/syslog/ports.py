"""What the syslog server needs from above, as a Protocol."""

from __future__ import annotations

from typing import Protocol

from pxe.syslog.wire import Message


class LogKeeper(Protocol):
    """Who keeps what machines say. Called on the event loop: it must return at once."""

    def welcome(self, peer: str) -> bool:
        """Whether the machine at this address is one whose log is wanted now; asked for each message."""

    def keep(self, peer: str, message: Message) -> None:
        """One message of a welcome peer."""
