"""The bodies of capture calls: bytes to lists and back, for the node and the server.

    sealed   codec (1 byte: 0 raw, 1 zlib, 2 zstd), unpacked length (4 bytes), then the packed bytes
    stream   for each record its kind (1 byte), length (4 bytes) and payload; the tree in order, see below
    chunks   for each chunk its length (4 bytes) and its bytes; who receives them works out the ids
    ids      sha256 after sha256, 32 bytes each; the answer has one byte for each: 1 is there, 0 is missing

The records of a stream: D bytes of the file at hand, C chunks of it that the server has (for each its id and
its length, 4 bytes), X forget that file's data, L the file's first bytes where they tell something, E the
name's line of the manifest, without chunks: those came before it. A file may go on in the next body.

All numbers are big-endian. Law: nothing unpacks to more than `LIMIT`; anything else than the form above is
`BadInput`. Pure; Python 3.8, standard library only.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Protocol, Union

from images.errors import BadInput
from images.manifest import Chunk

VERSION = 2  # of what node and server say to each other; told when a capture begins
RAW, ZLIB, ZSTD = 0, 1, 2
LIMIT = 6 << 20  # unpacked bytes of one body
BATCH = 4 << 20  # what a sender aims at
DIGEST = 32
IDS = 4096  # ids in one question
DATA, KNOWN, DROP, LOOK, ENTRY = b"DCXLE"
HEAD = struct.Struct(">BI")  # of a sealed body, and of a record
_LENGTH = struct.Struct(">I")
_CHUNK = struct.Struct(">32sI")
Bytes = Union[bytes, bytearray, memoryview]  # noqa: UP007 - Python 3.8 evaluates it


class Unpack(Protocol):
    """Unpacks bytes that must come to `length`."""

    def __call__(self, packed: Bytes, length: int, /) -> bytes: ...


def seal(codec: int, packed: bytes, length: int) -> bytes:
    """A body that unpacks to `length` bytes."""
    return HEAD.pack(codec, length) + packed


def unseal(body: Bytes, unpackers: Mapping[int, Unpack]) -> memoryview:
    """The bytes in a sealed body. `unpackers` by codec get the packed bytes and the length to expect."""
    if len(body) < HEAD.size:
        raise BadInput("a body without its head")
    codec, length = HEAD.unpack_from(body)
    if length > LIMIT:
        raise BadInput(f"a body that unpacks to {length} bytes; at most {LIMIT}")
    packed = memoryview(body)[HEAD.size :]
    if codec == RAW:
        data = packed
    elif codec in unpackers:
        data = memoryview(unpackers[codec](packed, length))
    else:
        raise BadInput(f"a body packed with codec {codec}, which this server does not know")
    if len(data) != length:
        raise BadInput(f"a body of {len(data)} bytes where {length} were promised")
    return data


def records(body: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Kind and payload of each record of a stream. Raises BadInput."""
    place = 0
    while place < len(body):
        if place + HEAD.size > len(body):
            raise BadInput("a record without its head")
        kind, length = HEAD.unpack_from(body, place)
        place += HEAD.size
        if place + length > len(body):
            raise BadInput("a record that is cut off")
        yield kind, body[place : place + length]
        place += length


def pack_known_chunks(chunks: Iterable[Chunk]) -> bytes:
    """The payload of a record of chunks."""
    return b"".join([_CHUNK.pack(*chunk) for chunk in chunks])


def unpack_known_chunks(payload: memoryview) -> list[Chunk]:
    """The chunks of such a record. Raises BadInput."""
    if len(payload) % _CHUNK.size:
        raise BadInput("a record of chunks that is cut off")
    chunks = [Chunk(*row) for row in _CHUNK.iter_unpack(payload)]
    if not all(chunk.length for chunk in chunks):
        raise BadInput("a chunk without bytes")
    return chunks


def pack_chunks(chunks: Iterable[bytes]) -> bytes:
    """Chunks as one body."""
    parts: list[bytes] = []
    for chunk in chunks:
        parts += (_LENGTH.pack(len(chunk)), chunk)
    return b"".join(parts)


def unpack_chunks(body: memoryview) -> list[memoryview]:
    """The chunks of a body, each of at least one byte. Raises BadInput."""
    chunks, place = [], 0
    while place < len(body):
        if place + _LENGTH.size > len(body):
            raise BadInput("a chunk without its length")
        (length,) = _LENGTH.unpack_from(body, place)
        place += _LENGTH.size
        if length == 0 or place + length > len(body):
            raise BadInput("a chunk that is empty or cut off")
        chunks.append(body[place : place + length])
        place += length
    return chunks


def unpack_ids(body: bytes) -> list[bytes]:
    """The ids of a question. Raises BadInput."""
    if len(body) % DIGEST or len(body) > IDS * DIGEST:
        raise BadInput(f"a question is at most {IDS} ids of {DIGEST} bytes")
    return [body[place : place + DIGEST] for place in range(0, len(body), DIGEST)]


def pack_known(known: Sequence[bool]) -> bytes:
    """The answer to a question."""
    return bytes(bytearray(known))


def unpack_known(body: bytes, asked: int) -> list[bool]:
    """The answer to a question of `asked` ids. Raises BadInput."""
    if len(body) != asked or not set(body) <= {0, 1}:
        raise BadInput("the server's answer does not fit the question")
    return [bool(byte) for byte in body]
