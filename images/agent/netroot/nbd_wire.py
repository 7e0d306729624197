"""NBD's handshake and the kernel's netlink messages about it: bytes to records and back.

NBD protocol (doc/proto.md, fixed newstyle negotiation, NBD_OPT_GO), linux/genetlink.h, linux/nbd-netlink.h.
Pure; Python 3.8, standard library only. Raises BadInput for what is no such message.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from images.errors import BadInput

MAGIC, OPTION, REPLY = 0x4E42444D41474943, 0x49484156454F5054, 0x0003E889045565A9
FIXED, NO_ZEROES = 1, 2
GO, ACK, INFO, INFO_EXPORT, ERROR = 7, 1, 3, 0, 1 << 31
READ_ONLY = 2  # of an export's flags
_LONGEST = 1 << 16

CTRL_FAMILY, CTRL_GETFAMILY, CTRL_ID, CTRL_NAME = 0x10, 3, 1, 2
CONNECT, DISCONNECT, RECONFIGURE = 1, 2, 3
INDEX, SIZE, BLOCK, TIMEOUT, SERVER_FLAGS, CLIENT_FLAGS, SOCKETS, DEAD = 1, 2, 3, 4, 5, 6, 7, 8
_REQUEST, _ACK, _ERROR, _DONE = 1, 4, 2, 3
_HEADER, _GENERIC, _ATTRIBUTE = struct.Struct("=IHHII"), struct.Struct("=BBH"), struct.Struct("=HH")


class Export(NamedTuple):
    """What the server said of it; `size` in bytes."""

    size: int
    flags: int


class Answer(NamedTuple):
    """One message of the kernel. `error`: 0, or an errno; None: it is not about that."""

    error: int | None
    attributes: dict[int, bytes]


def greeting(data: bytes) -> None:
    """Checks the server's first 18 bytes."""
    if len(data) != 18 or struct.unpack_from(">QQ", data) != (MAGIC, OPTION):
        raise BadInput("this is no NBD server")
    if not struct.unpack_from(">H", data, 16)[0] & FIXED:
        raise BadInput("this NBD server is older than the fixed newstyle negotiation")


def hello() -> bytes:
    """What the client answers to it."""
    return struct.pack(">I", FIXED | NO_ZEROES)


def go(name: str) -> bytes:
    """Asks for an export."""
    raw = name.encode("utf-8")
    body = struct.pack(">I", len(raw)) + raw + struct.pack(">H", 0)
    return struct.pack(">QII", OPTION, GO, len(body)) + body


def reply_header(data: bytes) -> tuple[int, int]:
    """Kind and length of what follows the 20 bytes of a reply to `go`."""
    magic, option, kind, length = struct.unpack(">QIII", data)
    if magic != REPLY or option != GO or length > _LONGEST:
        raise BadInput("the NBD server answered something else")
    return kind, length


def export_of(body: bytes) -> Export | None:
    """Size and flags, from the body of an INFO reply; None: it is about something else."""
    if len(body) >= 12 and struct.unpack_from(">H", body)[0] == INFO_EXPORT:
        return Export(*struct.unpack_from(">QH", body, 2))
    return None


def attribute(kind: int, data: bytes) -> bytes:
    """One netlink attribute, padded."""
    return _ATTRIBUTE.pack(4 + len(data), kind) + data + bytes(-len(data) % 4)


def number(kind: int, value: int) -> bytes:
    """A u64 attribute."""
    return attribute(kind, struct.pack("=Q", value))


def index(value: int) -> bytes:
    """Which /dev/nbdN."""
    return attribute(INDEX, struct.pack("=I", value))


def sockets(*descriptors: int) -> bytes:
    """The connections to use (NBD_SOCK_ITEM of NBD_SOCK_FD)."""
    items = [attribute(1 | 0x8000, attribute(1, struct.pack("=I", fd))) for fd in descriptors]
    return attribute(SOCKETS | 0x8000, b"".join(items))


def message(family: int, command: int, body: bytes, sequence: int) -> bytes:
    """One request to a generic netlink family."""
    payload = _GENERIC.pack(command, 1, 0) + body
    return _HEADER.pack(16 + len(payload), family, _REQUEST | _ACK, sequence, 0) + payload


def family_request(name: str, sequence: int) -> bytes:
    """Asks for the number of a family."""
    return message(CTRL_FAMILY, CTRL_GETFAMILY, attribute(CTRL_NAME, name.encode() + b"\0"), sequence)


def answers(data: bytes) -> list[Answer]:
    """What a datagram of the kernel holds."""
    found, at = [], 0
    while at + 16 <= len(data):
        length, kind, _, _, _ = _HEADER.unpack_from(data, at)
        if length < 16 or at + length > len(data):
            raise BadInput("a damaged netlink message")
        body = data[at + 16 : at + length]
        if kind == _ERROR:
            if len(body) < 4:
                raise BadInput("a damaged netlink message")
            found.append(Answer(-struct.unpack_from("=i", body)[0], {}))
        elif kind != _DONE:
            found.append(Answer(None, attributes(body[4:])))
        at += (length + 3) & ~3
    return found


def attributes(data: bytes) -> dict[int, bytes]:
    """The attributes of a message, by their number."""
    found, at = {}, 0
    while at + 4 <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, at)
        if length < 4 or at + length > len(data):
            raise BadInput("a damaged netlink attribute")
        found[kind & 0x3FFF] = data[at + 4 : at + length]
        at += (length + 3) & ~3
    return found
