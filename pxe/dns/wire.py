"""DNS messages: bytes <-> frozen dataclasses (RFC 1035 §4, EDNS RFC 6891).

The law: any bytes parse to a Query or raise WireError; FormatError is the kind that deserves a FORMERR reply.
Questions are read here by hand (5 us, no recursion, nothing is allocated for hostile input); answers are
packed with dnslib's codec. The question goes back byte for byte as it came, whatever its letters' case.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import dnslib

from pxe.dns.ports import Record
from pxe.errors import WireError

NOERROR, FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED, BADVERS = 0, 1, 2, 3, 4, 5, 16
OPT, ANY, IXFR, AXFR = 41, 255, 251, 252
HEADER = struct.Struct("!6H")
_PLAIN = 512  # bytes over UDP, without EDNS
OUR_SIZE = 1232  # fits every path that carries IPv6 (DNS flag day 2020)
OPT_FIXED = struct.Struct("!BHHBBHH")


class FormatError(WireError):
    """A query that cannot be understood, from a peer that can be told so; `reply` is the message for it."""

    def __init__(self, text: str, reply: bytes) -> None:
        super().__init__(text)
        self.reply = reply


@dataclass(frozen=True, slots=True)
class Edns:
    """What the client can take (RFC 6891)."""

    size: int
    version: int
    dnssec_ok: bool


@dataclass(frozen=True, slots=True)
class Query:
    """One question. `labels` are in lower case, `question` are its bytes as they came."""

    id: int
    opcode: int
    recursion_desired: bool
    checking_disabled: bool
    labels: tuple[bytes, ...]
    qtype: int
    qclass: int
    question: bytes
    edns: Edns | None = None

    @property
    def name(self) -> str | None:
        """The name as text; None when it holds bytes that no name of ours does."""
        if any(not label.isascii() or b"." in label for label in self.labels):
            return None
        return b".".join(self.labels).decode("ascii")

    def room(self, tcp: bool) -> int:
        """The largest reply that the client takes, bytes."""
        if tcp:
            return 65535
        return _PLAIN if self.edns is None else max(_PLAIN, min(self.edns.size, OUR_SIZE))


def parse(raw: bytes) -> Query:
    """A query. Raises WireError when it is to be dropped, FormatError when it is to be answered with
    FORMERR."""
    if len(raw) < 12:
        raise WireError(f"{len(raw)} bytes are no DNS message")
    ident, flags, questions, answers, authority, additional = HEADER.unpack_from(raw)
    if flags & 0x8000:
        raise WireError("a response, not a query")
    refusal = HEADER.pack(ident, 0x8000 | flags & 0x7900 | FORMERR, 0, 0, 0, 0)
    try:
        if questions != 1:
            raise WireError(f"{questions} questions")
        labels, at = _name(raw, 12)
        if at + 4 > len(raw):
            raise WireError("the question is cut off")
        qtype, qclass = struct.unpack_from("!HH", raw, at)
        edns = _edns(raw, at + 4, answers + authority, additional)
    except WireError as error:
        raise FormatError(str(error), refusal) from error
    return Query(
        id=ident,
        opcode=flags >> 11 & 15,
        recursion_desired=bool(flags & 0x0100),
        checking_disabled=bool(flags & 0x0010),
        labels=labels,
        qtype=qtype,
        qclass=qclass,
        question=raw[12 : at + 4],
        edns=edns,
    )


def _name(raw: bytes, at: int) -> tuple[tuple[bytes, ...], int]:
    """A question's name in lower case and where it ends. Pointers have nothing to point at there."""
    labels: list[bytes] = []
    start = at
    while at < len(raw):
        size = raw[at]
        at += 1
        if not size:
            if at - start > 255:
                raise WireError("the name is longer than 255 bytes")
            return tuple(labels), at
        if size > 63 or at + size > len(raw):
            raise WireError("a label that is too long or compressed")
        labels.append(raw[at : at + size].lower())
        at += size
    raise WireError("the name is cut off")


def _skip_name(raw: bytes, at: int) -> int:
    while at < len(raw):
        size = raw[at]
        if size >= 0xC0:
            return at + 2
        if size > 63:
            raise WireError("an unknown kind of label")
        at += 1 + size
        if not size:
            return at
    raise WireError("a name is cut off")


def records(raw: bytes, at: int, count: int) -> list[tuple[int, int, int, int]]:
    """(name ends at, type, class, end) of each record; `count` comes from the peer, the bytes bound it."""
    found = []
    for _ in range(count):
        at = _skip_name(raw, at)
        if at + 10 > len(raw):
            raise WireError("a record is cut off")
        rtype, rclass, _, size = struct.unpack_from("!HHIH", raw, at)
        end = at + 10 + size
        if end > len(raw):
            raise WireError("a record's data is cut off")
        found.append((at, rtype, rclass, end))
        at = end
    return found


def _edns(raw: bytes, at: int, before: int, additional: int) -> Edns | None:
    found = records(raw, at, before + additional)
    options = [(place, size) for place, rtype, size, _ in found[before:] if rtype == OPT]
    if len(options) > 1:
        raise WireError("more than one OPT record")
    if not options:
        return None
    place, size = options[0]
    _, version, flags = struct.unpack_from("!BBH", raw, place + 4)
    return Edns(size, version, bool(flags & 0x8000))


@dataclass(frozen=True, slots=True)
class Answer:
    """What to say. Records are (name, ttl, record); an SOA record's data is "MNAME RNAME SERIAL ...
    MINIMUM"."""

    rcode: int = NOERROR
    authoritative: bool = False
    recursion_available: bool = False
    answer: tuple[tuple[str, int, Record], ...] = ()
    authority: tuple[tuple[str, int, Record], ...] = ()
    additional: tuple[tuple[str, int, Record], ...] = ()


def build(query: Query, answer: Answer, room: int) -> bytes:
    """The reply in at most `room` bytes: additional records are left out first; then it is marked as
    truncated."""
    for trimmed in (
        answer,
        Answer(answer.rcode, answer.authoritative, answer.recursion_available, answer.answer),
    ):
        raw = _pack(query, trimmed, False)
        if len(raw) <= room:
            return raw
    return _pack(query, Answer(answer.rcode, answer.authoritative, answer.recursion_available), True)


def _pack(query: Query, answer: Answer, truncated: bool) -> bytes:
    record = dnslib.DNSRecord(dnslib.DNSHeader(id=query.id, q=1))
    record.add_question(dnslib.DNSQuestion(dnslib.DNSLabel(query.labels), query.qtype, query.qclass))
    for part, add in (
        (answer.answer, record.add_answer),
        (answer.authority, record.add_auth),
        (answer.additional, record.add_ar),
    ):
        for name, ttl, content in part:
            add(_rr(name, ttl, content))
    raw = bytearray(record.pack())
    raw[12 : 12 + len(query.question)] = query.question
    additional = len(answer.additional)
    if query.edns is not None:
        raw += OPT_FIXED.pack(0, OPT, OUR_SIZE, answer.rcode >> 4, 0, 0x8000 * query.edns.dnssec_ok, 0)
        additional += 1
    counts = (1, len(answer.answer), len(answer.authority), additional)
    HEADER.pack_into(raw, 0, query.id, _flags(query, answer, truncated), *counts)
    return bytes(raw)


def _flags(query: Query, answer: Answer, truncated: bool) -> int:
    return (
        0x8000
        | query.opcode << 11
        | answer.authoritative << 10
        | truncated << 9
        | query.recursion_desired << 8
        | answer.recursion_available << 7
        | query.checking_disabled << 4
        | answer.rcode & 15
    )


def _rr(name: str, ttl: int, record: Record) -> dnslib.RR:
    kind, data = record.type, record.data
    match kind:
        case "SOA":
            mname, rname, *times = data.split()
            value = dnslib.SOA(mname, rname, tuple(int(time) for time in times))
        case "SRV":
            priority, weight, port, target = data.split()
            value = dnslib.SRV(int(priority), int(weight), int(port), target)
        case "TXT":
            text = data.encode()
            value = dnslib.TXT([text[i : i + 255] for i in range(0, len(text) or 1, 255)])
        case _:
            value = dnslib.RDMAP[kind](data)
    return dnslib.RR(name, dnslib.QTYPE.reverse[kind], rdata=value, ttl=ttl)


def type_number(kind: str) -> int:
    """The number of a record type's name."""
    return int(dnslib.QTYPE.reverse[kind])


def reuse(raw: bytes, query: Query) -> bytes:
    """A reply that was built for the same question, for another asker: its id, flags and letters' case."""
    again = bytearray(raw)
    flags = raw[2] << 8 | raw[3]
    flags = flags & ~0x0110 | query.recursion_desired << 8 | query.checking_disabled << 4
    struct.pack_into("!HH", again, 0, query.id, flags)
    again[12 : 12 + len(query.question)] = query.question
    return bytes(again)


def truncated(query: Query) -> bytes:
    """A forwarded reply that does not fit: ask again over TCP."""
    return _pack(query, Answer(recursion_available=True), True)
