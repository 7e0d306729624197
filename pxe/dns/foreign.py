"""Questions to other servers and their replies, understood as far as forwarding needs (RFC 1035, RFC 5452).
Pure.

The law: a reply is taken only with our id and our question, letter for letter; any other bytes are a
WireError.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from pxe.dns.wire import HEADER, NOERROR, NXDOMAIN, OPT, OPT_FIXED, OUR_SIZE, Query, records
from pxe.errors import WireError

_LONGEST_TTL = 7 * 86400


def ask(query: Query, ident: int) -> bytes:
    """The same question for another server, with recursion desired."""
    flags = 0x0100 | query.checking_disabled << 4
    raw = HEADER.pack(ident, flags, 1, 0, 0, int(query.edns is not None)) + query.question
    if query.edns is None:
        return raw
    return raw + OPT_FIXED.pack(0, OPT, OUR_SIZE, 0, 0, 0x8000 * query.edns.dnssec_ok, 0)


@dataclass(frozen=True, slots=True)
class Foreign:
    """Another server's reply, understood as far as forwarding needs."""

    raw: bytes
    rcode: int
    truncated: bool
    ttl: int  # seconds that it may be kept; 0: not at all
    ttl_places: tuple[int, ...]  # where its TTL fields are

    def aged(self, seconds: int) -> bytes:
        """The message with all TTLs counted down."""
        raw = bytearray(self.raw)
        for place in self.ttl_places:
            (ttl,) = struct.unpack_from("!I", raw, place)
            struct.pack_into("!I", raw, place, max(0, ttl - seconds))
        return bytes(raw)


def parse_foreign(raw: bytes, ident: int, query: Query) -> Foreign:
    """Another server's reply to `query` sent with `ident`. Raises WireError when it is not exactly that."""
    if len(raw) < 12:
        raise WireError("too short")
    got, flags, questions, answers, authority, additional = HEADER.unpack_from(raw)
    end = 12 + len(query.question)
    if got != ident or not flags & 0x8000 or questions != 1 or raw[12:end] != query.question:
        raise WireError("not the reply to this question")
    places, shortest = [], _LONGEST_TTL
    for at, rtype, _, _ in records(raw, end, answers + authority + additional):
        if rtype != OPT:
            (ttl,) = struct.unpack_from("!I", raw, at + 4)
            places.append(at + 4)
            shortest = min(shortest, ttl)
    rcode, truncated = flags & 15, bool(flags & 0x0200)
    keep = bool(places) and not truncated and rcode in (NOERROR, NXDOMAIN)
    return Foreign(raw, rcode, truncated, shortest if keep else 0, tuple(places))
