"""NBD on the wire: bytes to frozen records and back. Pure, knows no device.

Source: github.com/NetworkBlockDevice/nbd, doc/proto.md: fixed newstyle handshake, simple and structured
replies. All numbers are big-endian. Law: any bytes are a record or a WireError; lengths are bounded before
they are believed. Requests are the hot path: `Request` is a tuple, and many are read at once.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum, IntFlag
from typing import NamedTuple

from images.errors import ImageError

MAGIC, OPTION_MAGIC, REPLY_MAGIC = b"NBDMAGIC", b"IHAVEOPT", 0x3E889045565A9
REQUEST_MAGIC, SIMPLE_MAGIC, CHUNK_MAGIC = 0x25609513, 0x67446698, 0x668E33EF
FIXED, NO_ZEROES = 1, 2  # of both sides' handshake flags
MOST_OPTION = 16 << 10  # bytes of an option's data; names have 4096 at most
MOST_NAME = 4096
MOST_LENGTH = 32 << 20  # bytes of one read or write
DONE = 1  # flag of the last chunk of a structured reply
ALLOCATION = b"base:allocation"
HOLE_ZERO = 3  # a stretch's status in it: not allocated, and reads as zeros

_OPTION = struct.Struct(">8sII")
_OPTION_REPLY = struct.Struct(">QIII")
REQUEST = struct.Struct(">IHHQQI")
SIMPLE = struct.Struct(">IIQ")
CHUNK = struct.Struct(">IHHQI")
DATA = struct.Struct(">IHHQIQ")  # a chunk's head with the offset of its data


class WireError(ImageError):
    """The peer's bytes are no NBD: the connection is closed."""


class Option(IntEnum):
    """What a client asks during the handshake."""

    EXPORT_NAME = 1
    ABORT = 2
    LIST = 3
    STARTTLS = 5
    INFO = 6
    GO = 7
    STRUCTURED_REPLY = 8
    LIST_META_CONTEXT = 9
    SET_META_CONTEXT = 10


class Answer(IntEnum):
    """Types of replies to options; those with the highest bit are errors."""

    ACK = 1
    SERVER = 2
    INFO = 3
    META_CONTEXT = 4
    UNSUPPORTED = 1 << 31 | 1
    POLICY = 1 << 31 | 2
    INVALID = 1 << 31 | 3
    UNKNOWN = 1 << 31 | 6
    TOO_BIG = 1 << 31 | 9


class Flag(IntFlag):
    """What an export can, told with its size."""

    HAS_FLAGS = 1
    READ_ONLY = 2
    SEND_FLUSH = 4
    SEND_FUA = 8
    ROTATIONAL = 16
    SEND_TRIM = 32
    SEND_WRITE_ZEROES = 64
    SEND_DF = 128
    CAN_MULTI_CONN = 256
    SEND_CACHE = 1024


class Command(IntEnum):
    """Requests of the transmission."""

    READ = 0
    WRITE = 1
    DISC = 2
    FLUSH = 3
    TRIM = 4
    CACHE = 5
    WRITE_ZEROES = 6
    BLOCK_STATUS = 7


FUA, NO_HOLE, DF, REQ_ONE = 1, 2, 4, 8  # flags of a request
CHUNK_NONE, CHUNK_DATA, CHUNK_STATUS, CHUNK_ERROR = 0, 1, 5, 1 << 15 | 1


class Error(IntEnum):
    """Errors of a reply: the numbers of Linux, of which only these may be sent."""

    EPERM = 1
    EIO = 5
    ENOMEM = 12
    EINVAL = 22
    ENOSPC = 28
    EOVERFLOW = 75
    ENOTSUP = 95
    ESHUTDOWN = 108


@dataclass(frozen=True, slots=True)
class OptionRequest:
    """One option with its data."""

    option: int
    data: bytes


@dataclass(frozen=True, slots=True)
class OptionReply:
    """One reply to an option."""

    option: int
    kind: int
    data: bytes = b""


@dataclass(frozen=True, slots=True)
class Go:
    """The data of INFO and GO: which export, and what of it is asked for."""

    name: str
    wanted: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Contexts:
    """The data of LIST_META_CONTEXT and SET_META_CONTEXT."""

    name: str
    queries: tuple[bytes, ...] = ()


class Request(NamedTuple):
    """One request of the transmission; a write's data follows it."""

    magic: int
    flags: int
    command: int
    cookie: int
    offset: int
    length: int


def greeting() -> bytes:
    """The server's first words."""
    return MAGIC + OPTION_MAGIC + struct.pack(">H", FIXED | NO_ZEROES)


def parse_client_flags(data: bytes) -> int:
    """The client's four bytes. Raises WireError for a flag nobody has defined."""
    (flags,) = struct.unpack(">I", data)
    if flags & ~(FIXED | NO_ZEROES):
        raise WireError(f"client flags {flags:#x}")
    return int(flags)


def parse_option(data: bytes | bytearray) -> tuple[OptionRequest, int] | None:
    """The first option in `data` and how many bytes it took; None: not all of it is here yet."""
    if len(data) < _OPTION.size:
        if not OPTION_MAGIC.startswith(bytes(data[:8])):
            raise WireError("an option without its magic")
        return None
    magic, option, length = _OPTION.unpack_from(data)
    if magic != OPTION_MAGIC:
        raise WireError("an option without its magic")
    if length > MOST_OPTION:
        raise WireError(f"an option of {length} bytes")
    end = _OPTION.size + length
    if len(data) < end:
        return None
    return OptionRequest(option, bytes(data[_OPTION.size : end])), end


def build_option(request: OptionRequest) -> bytes:
    """Its inverse."""
    return _OPTION.pack(OPTION_MAGIC, request.option, len(request.data)) + request.data


def build_reply(reply: OptionReply) -> bytes:
    """One reply to an option."""
    return _OPTION_REPLY.pack(REPLY_MAGIC, reply.option, reply.kind, len(reply.data)) + reply.data


def parse_go(data: bytes) -> Go:
    """The data of INFO and GO. Raises WireError."""
    name, rest = _name(data)
    if len(rest) < 2:
        raise WireError("cut off after the name")
    (count,) = struct.unpack_from(">H", rest)
    if len(rest) != 2 + 2 * count:
        raise WireError("its count of information does not fit its length")
    return Go(name, struct.unpack(f">{count}H", rest[2:]))


def build_go(go: Go) -> bytes:
    """Its inverse."""
    name = go.name.encode()
    return struct.pack(f">I{len(name)}sH{len(go.wanted)}H", len(name), name, len(go.wanted), *go.wanted)


def parse_contexts(data: bytes) -> Contexts:
    """The data of the two options about contexts. Raises WireError."""
    name, rest = _name(data)
    if len(rest) < 4:
        raise WireError("cut off after the name")
    (count,) = struct.unpack_from(">I", rest)
    rest, queries = rest[4:], []
    for _ in range(count):
        if len(rest) < 4:
            raise WireError("fewer queries than announced")
        (length,) = struct.unpack_from(">I", rest)
        if length > len(rest) - 4:
            raise WireError("a query is cut off")
        queries.append(rest[4 : 4 + length])
        rest = rest[4 + length :]
    if rest:
        raise WireError("bytes after the last query")
    return Contexts(name, tuple(queries))


def build_contexts(contexts: Contexts) -> bytes:
    """Its inverse."""
    name = contexts.name.encode()
    out = struct.pack(f">I{len(name)}sI", len(name), name, len(contexts.queries))
    return out + b"".join(struct.pack(">I", len(query)) + query for query in contexts.queries)


def parse_name(data: bytes) -> str:
    """The name of an export. Raises WireError when it is no text or too long."""
    if len(data) > MOST_NAME:
        raise WireError(f"a name of {len(data)} bytes")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise WireError("a name that is not UTF-8") from error


def _name(data: bytes) -> tuple[str, bytes]:
    if len(data) < 4:
        raise WireError("cut off before the name")
    (length,) = struct.unpack_from(">I", data)
    if length > len(data) - 4:
        raise WireError("the name is cut off")
    return parse_name(data[4 : 4 + length]), data[4 + length :]


def export_info(size: int, flags: int) -> bytes:
    """NBD_INFO_EXPORT."""
    return struct.pack(">HQH", 0, size, flags)


def block_info(least: int, best: int, most: int) -> bytes:
    """NBD_INFO_BLOCK_SIZE."""
    return struct.pack(">HIII", 3, least, best, most)


def old_export(size: int, flags: int, no_zeroes: bool) -> bytes:
    """The answer to EXPORT_NAME, which has no head."""
    return struct.pack(">QH", size, flags) + (b"" if no_zeroes else bytes(124))


def context(number: int, name: bytes) -> bytes:
    """One context that was agreed on."""
    return struct.pack(">I", number) + name


def parse_requests(data: bytes | bytearray | memoryview) -> list[Request]:
    """All whole requests at the beginning of `data`, none of which may be followed by data. Raises
    WireError."""
    count = len(data) // REQUEST.size
    found = [Request._make(row) for row in REQUEST.iter_unpack(memoryview(data)[: count * REQUEST.size])]
    if any(one.magic != REQUEST_MAGIC for one in found):
        raise WireError("a request without its magic")
    return found


def build_request(request: Request) -> bytes:
    """Its inverse, for one."""
    return REQUEST.pack(*request)


def status_chunk(cookie: int, stretches: list[tuple[int, int]]) -> bytes:
    """The whole answer to BLOCK_STATUS: (length, status) of each stretch."""
    body = struct.pack(">I", 1) + b"".join(struct.pack(">II", *row) for row in stretches)
    return CHUNK.pack(CHUNK_MAGIC, DONE, CHUNK_STATUS, cookie, len(body)) + body


def done_reply(cookie: int, structured: bool) -> bytes:
    """That a request without data was carried out."""
    if structured:
        return CHUNK.pack(CHUNK_MAGIC, DONE, CHUNK_NONE, cookie, 0)
    return SIMPLE.pack(SIMPLE_MAGIC, 0, cookie)


def error_reply(cookie: int, error: int, structured: bool) -> bytes:
    """That a request failed."""
    if structured:
        return CHUNK.pack(CHUNK_MAGIC, DONE, CHUNK_ERROR, cookie, 6) + struct.pack(">IH", error, 0)
    return SIMPLE.pack(SIMPLE_MAGIC, error, cookie)
