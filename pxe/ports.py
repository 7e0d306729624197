"""What the file servers (TFTP and HTTP) both need from above, as a Protocol.

DHCP has its own journal, keyed by MAC; here only the peer's IP address is known, and the house finds the
machine.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol


class PeerJournal(Protocol):
    """Where steps of a boot are recorded (the flight recorder)."""

    def record_peer(self, address: str, kind: str, text: str, data: Mapping[str, Any] | None = None) -> None:
        """Record one event of the machine at `address` (an IP address as text; IPv4-mapped ones as plain
        IPv4).

        Called on the event loop: it must return within a millisecond or so and never wait for the network.
        TFTP: `tftp.start|done|error|missing|upload`; HTTP: `http.start|done`. `data` carries `file`, `bytes`,
        `seconds` and, where it applies, `aborted` and `error`.
        """
