"""TFTP packets: bytes <-> frozen dataclasses (RFC 1350 §5; options RFC 2347).

The law: any bytes parse to a packet or raise WireError, and what was parsed builds to something that parses
to the same. Options stay text here, in the order they came: what they mean is `pxe.tftp.terms`.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum

from pxe.errors import WireError

RRQ, WRQ, DATA, ACK, ERROR, OACK = 1, 2, 3, 4, 5, 6
_MODES = ("octet", "netascii")


class Code(IntEnum):
    """Error codes (RFC 1350 §5, RFC 2347)."""

    OTHER = 0
    NOT_FOUND = 1
    ACCESS = 2
    DISK_FULL = 3
    ILLEGAL = 4
    UNKNOWN_TID = 5
    EXISTS = 6
    NO_USER = 7
    OPTIONS = 8


@dataclass(frozen=True, slots=True)
class Request:
    """RRQ or WRQ. Option names are in lower case."""

    write: bool
    filename: str
    mode: str  # "octet" or "netascii"
    options: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Data:
    """One block; `block` is the number on the wire, 0-65535."""

    block: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class Ack:
    """All blocks up to and including this one arrived."""

    block: int


@dataclass(frozen=True, slots=True)
class Error:
    """The end of a transfer; never answered."""

    code: int
    text: str


@dataclass(frozen=True, slots=True)
class Oack:
    """The options that were accepted."""

    options: tuple[tuple[str, str], ...]


Packet = Request | Data | Ack | Error | Oack


def parse(raw: bytes) -> Packet:
    """One datagram. Raises WireError with the reason."""
    if len(raw) < 4:
        raise WireError(f"{len(raw)} bytes are no TFTP packet")
    opcode, number = struct.unpack_from("!HH", raw)
    if opcode == ACK:
        return Ack(number)  # some ROMs send bytes after it; they mean nothing
    if opcode == DATA:
        return Data(number, raw[4:])
    if opcode == ERROR:
        return Error(number, _text(raw[4:].split(b"\0", 1)[0]))
    if opcode in (RRQ, WRQ):
        return _request(opcode == WRQ, raw[2:])
    if opcode == OACK:
        if not (options := _options(raw[2:].split(b"\0"))):
            raise WireError("an OACK without options")
        return Oack(options)
    raise WireError(f"opcode {opcode} is unknown")


def _request(write: bool, rest: bytes) -> Request:
    fields = rest.split(b"\0")
    if len(fields) < 3:
        raise WireError("a request needs a file name and a mode, each ended by a zero byte")
    mode = _text(fields[1]).lower()
    if mode not in _MODES:
        raise WireError(f"mode {mode[:20]!r} is not octet or netascii")
    return Request(write, _text(fields[0]), mode, _options(fields[2:]))


def _options(fields: list[bytes]) -> tuple[tuple[str, str], ...]:
    """Name/value pairs; of a repeated name the first counts. What follows the last zero byte is padding."""
    found: dict[str, str] = {}
    for name, value in zip(fields[0:-1:2], fields[1:-1:2], strict=False):
        if name:
            found.setdefault(_text(name).lower(), _text(value))
    return tuple(found.items())


def build(packet: Packet) -> bytes:
    """The datagram for a packet. Texts lose zero bytes and what follows them."""
    match packet:
        case Ack(block):
            return struct.pack("!HH", ACK, block)
        case Data(block, payload):
            return struct.pack("!HH", DATA, block) + payload
        case Error(code, text):
            return struct.pack("!HH", ERROR, code) + _field(text)
        case Oack(options):
            return struct.pack("!H", OACK) + _pairs(options)
        case Request(write, filename, mode, options):
            opcode = struct.pack("!H", WRQ if write else RRQ)
            return opcode + _field(filename) + _field(mode) + _pairs(options)


def _pairs(options: tuple[tuple[str, str], ...]) -> bytes:
    return b"".join(_field(name) + _field(value) for name, value in options)


def _text(raw: bytes) -> str:
    """Names are ASCII by the RFC, UTF-8 in practice; whatever else comes is kept byte by byte."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def _field(text: str) -> bytes:
    return text.split("\0", 1)[0].encode(errors="replace") + b"\0"
