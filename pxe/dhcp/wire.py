"""BOOTP/DHCP messages: bytes <-> Packet.

RFC 951 and 2131 section 2 (fixed part), 2132 (options), 2131 section 4.1 (option overload), 3396 (long
options). The law: `parse` of any bytes gives a Packet or raises WireError, in time linear in their length,
and `parse(build(p)) == p` for every Packet that fits. It knows no option's meaning except Pad, End and
Overload.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address

from pxe.dhcp.codes import MESSAGE_TYPE
from pxe.errors import WireError

REQUEST, REPLY = 1, 2  # op
ETHERNET = 1  # htype
BROADCAST = 0x8000  # flags
COOKIE = b"\x63\x82\x53\x63"

PAD, OVERLOAD, END = 0, 52, 255
FILE_FIELD, SNAME_FIELD = 128, 64
HEADER = struct.Struct("!BBBBIHHIIII16s64s128s")  # 236 bytes
OPTIONS_AT = HEADER.size + len(COOKIE)

# RFC 1542 section 2.1: some relays and clients drop anything under 300 bytes.
MIN_LENGTH = 300
# RFC 2131 section 2: every client takes a 576-byte datagram, so 548 bytes of DHCP.
DEFAULT_LIMIT = 576 - 28
MAX_LIMIT = 1500 - 28  # no fragments: many firmware stacks cannot put them together

NO_ADDRESS = IPv4Address(0)


@dataclass(slots=True, unsafe_hash=True)  # nobody changes one; a check of that costs a microsecond
class Packet:
    """One message. Texts end at their first NUL; `options` keeps the order on the wire, without Pad, End,
    Overload."""

    op: int = REQUEST
    htype: int = ETHERNET
    hops: int = 0
    xid: int = 0
    secs: int = 0
    flags: int = 0
    ciaddr: IPv4Address = NO_ADDRESS
    yiaddr: IPv4Address = NO_ADDRESS
    siaddr: IPv4Address = NO_ADDRESS
    giaddr: IPv4Address = NO_ADDRESS
    chaddr: bytes = b""  # `hlen` bytes of it, at most 16
    sname: bytes = b""
    file: bytes = b""
    options: Mapping[int, bytes] = field(default_factory=dict)


class TooLong(WireError):
    """The message does not fit the limit, even with the file and sname fields used for options."""


def parse(data: bytes) -> Packet:
    """Read one datagram. Raises WireError. A message without the magic cookie is plain BOOTP: no options."""
    if len(data) < HEADER.size:
        raise WireError(f"{len(data)} bytes, a BOOTP message has at least {HEADER.size}")
    op, htype, hlen, hops, xid, secs, flags, ci, yi, si, gi, chaddr, sname, file = HEADER.unpack_from(data)
    if op not in (REQUEST, REPLY):
        raise WireError(f"op {op} is neither request nor reply")
    if hlen > 16:
        raise WireError(f"hlen {hlen} is over 16")
    options: dict[int, bytes] = {}
    if data[HEADER.size : OPTIONS_AT] == COOKIE:
        _read_options(data, OPTIONS_AT, len(data), options)
        overload = options.pop(OVERLOAD, None)
        if overload is not None:
            file, sname = _read_overloaded(overload, file, sname, options)
    return Packet(
        op, htype, hops, xid, secs, flags,
        IPv4Address(ci) if ci else NO_ADDRESS,
        IPv4Address(yi) if yi else NO_ADDRESS,
        IPv4Address(si) if si else NO_ADDRESS,
        IPv4Address(gi) if gi else NO_ADDRESS,
        chaddr[:hlen],
        sname.split(b"\0", 1)[0],
        file.split(b"\0", 1)[0],
        options,
    )  # fmt: skip


def _read_options(data: bytes, at: int, end: int, into: dict[int, bytes]) -> None:
    """Add the options in data[at:end]; a code seen again is a continuation (RFC 3396). A missing End is
    forgiven."""
    while at < end:
        code = data[at]
        at += 1
        if code == PAD:
            continue
        if code == END:
            return
        if at >= end:
            raise WireError(f"option {code} has no length")
        start = at + 1
        at = start + data[at]
        if at > end:
            raise WireError(f"option {code} runs past the end")
        value = data[start:at]
        into[code] = into[code] + value if code in into else value


def _read_overloaded(
    overload: bytes, file: bytes, sname: bytes, into: dict[int, bytes]
) -> tuple[bytes, bytes]:
    """Options in the file and sname fields, in that order (RFC 3396 section 5); gives back what is left as
    text."""
    if len(overload) != 1 or overload[0] not in (1, 2, 3):
        raise WireError(f"option overload is {overload.hex()}, not 01, 02 or 03")
    if overload[0] & 1:
        _read_options(file, 0, FILE_FIELD, into)
        file = b""
    if overload[0] & 2:
        _read_options(sname, 0, SNAME_FIELD, into)
        sname = b""
    into.pop(OVERLOAD, None)
    return file, sname


def build(packet: Packet, limit: int = DEFAULT_LIMIT, overload: bool = True) -> bytes:
    """Write one message of at most `limit` bytes; without `overload`, file and sname stay what they are.
    Raises TooLong, or WireError for a field out of range."""
    file, sname = packet.file, packet.sname
    body = b"".join(_pieces(packet.options))
    if OPTIONS_AT + len(body) + 1 > limit:
        if not overload:
            raise TooLong(f"the options do not fit in {limit} bytes")
        body, file, sname = _overloaded(packet, limit)
    if len(packet.chaddr) > 16 or len(file) > FILE_FIELD or len(sname) > SNAME_FIELD:
        raise WireError("chaddr, file or sname is too long for its field")
    try:
        head = HEADER.pack(
            packet.op, packet.htype, len(packet.chaddr), packet.hops, packet.xid, packet.secs, packet.flags,
            int(packet.ciaddr), int(packet.yiaddr), int(packet.siaddr), int(packet.giaddr),
            packet.chaddr, sname, file,
        )  # fmt: skip
    except struct.error as error:
        raise WireError(f"a field is out of range: {error}") from error
    return (head + COOKIE + body + b"\xff").ljust(MIN_LENGTH, b"\0")


def _pieces(options: Mapping[int, bytes]) -> Iterable[bytes]:
    """Each option as code, length, value; over 255 bytes as several of the same code (RFC 3396)."""
    for code, value in options.items():
        if not 0 < code < END or code == OVERLOAD:
            raise WireError(f"option {code} cannot be written as such")
        if len(value) < 256:
            yield bytes((code, len(value))) + value
        else:
            for at in range(0, len(value), 255):
                part = value[at : at + 255]
                yield bytes((code, len(part))) + part


def _overloaded(packet: Packet, limit: int) -> tuple[bytes, bytes, bytes]:
    """The options spread over the options field and those of file and sname that hold no text."""
    rooms = [limit - OPTIONS_AT - 4]  # End, and the overload option itself
    used = [bytearray()]
    flags = [0]
    for text, size, flag in ((packet.file, FILE_FIELD, 1), (packet.sname, SNAME_FIELD, 2)):
        if not text:
            rooms.append(size - 1)
            used.append(bytearray())
            flags.append(flag)
    last_code, at_least = 0, 0
    for piece in _pieces(packet.options):
        # A continuation must not come before its beginning, and fields are read in the order of `rooms`.
        first = at_least if piece[0] == last_code else 0
        place = next((n for n in range(first, len(rooms)) if len(used[n]) + len(piece) <= rooms[n]), None)
        if place is None:
            raise TooLong(f"option {piece[0]} does not fit in {limit} bytes")
        used[place] += piece
        last_code, at_least = piece[0], place
    fields = {flag: bytes(part) for flag, part in zip(flags, used, strict=True) if flag and part}
    body = bytes(used[0]) + bytes((OVERLOAD, 1, sum(fields)))
    file = fields[1] + b"\xff" if 1 in fields else packet.file
    sname = fields[2] + b"\xff" if 2 in fields else packet.sname
    return body, file, sname


def build_fitting(packet: Packet, limit: int, keep: frozenset[int]) -> tuple[bytes, tuple[int, ...]]:
    """As `build`, but leave out options from the end of the list (never those in `keep`) until it fits,
    and then put back those that do.

    Gives the bytes and the codes left out. Raises TooLong when even `keep` alone does not fit. A BOOTP
    client reads its boot file's name in `file`, whatever option 52 says (RFC 1534 section 2).
    """
    spread = MESSAGE_TYPE in packet.options
    try:
        return build(packet, limit, spread), ()
    except TooLong:
        kept = dict(packet.options)
    dropped: list[int] = []
    for code in reversed([code for code in kept if code not in keep]):
        del kept[code]
        dropped.append(code)
        try:
            data = build(replace(packet, options=kept), limit, spread)
        except TooLong:
            continue
        return _refill(packet, limit, spread, data, dropped)
    return build(replace(packet, options=kept), limit, spread), tuple(dropped)


def _refill(
    packet: Packet, limit: int, spread: bool, data: bytes, dropped: list[int]
) -> tuple[bytes, tuple[int, ...]]:
    """Put back what fits: one long option must not cost the client every short one behind it."""
    out = list(dropped)
    for code in reversed(dropped[:-1]):  # the last one dropped is the one that was too long
        out.remove(code)
        options = {had: value for had, value in packet.options.items() if had not in out}
        try:
            data = build(replace(packet, options=options), limit, spread)
        except TooLong:
            out.append(code)
    return data, tuple(out)
