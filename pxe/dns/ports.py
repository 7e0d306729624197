"""What DNS needs from above, as a Protocol, and the nouns it is asked with.

Names are lower-case text without a final dot (`n1.cluster.test`), fully qualified.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Protocol

Address = IPv4Address | IPv6Address


@dataclass(frozen=True, slots=True)
class Record:
    """One resource record's type and value.

    `data` by type: A, AAAA: an address as text. CNAME, PTR, NS: a name. TXT: text (cut into strings of 255
    bytes). SRV: "PRIORITY WEIGHT PORT TARGET".
    """

    type: str
    data: str
    ttl: int | None = None  # seconds; None: the zone's


class Names(Protocol):
    """The house's names. Called for each question that is not cached, on the event loop: answer from memory
    or an indexed look-up."""

    def revision(self) -> int:
        """A number that changes whenever any answer may have changed; it is the zone's serial as well."""

    def lookup(self, name: str) -> Sequence[Record] | None:
        """All records of a name below the domain, or at it (SOA and NS are added by us).

        Empty: the name exists, without records. None: there is no such name.
        """

    def pointer(self, address: Address) -> str | None:
        """The name of an address in one of the zone's networks."""
