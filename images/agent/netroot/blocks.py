"""The list of a root's blocks: what a node that fetches it whole checks each block with, before it is used.

    magic (8), Ed25519 signature (64), header (one JSON line), sha256 of each block (32 bytes each)

The signature is over everything behind it. The law: a list that is not signed, or is another root's, is
refused before the first block; a block that does not match is never kept. Pure; Python 3.8, standard library
only.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import BinaryIO

from images import signature
from images.errors import BadInput, ChunkCorrupt

MAGIC = b"BSROOT1\n"
BLOCK = 1 << 20
LABEL = b"bootsrv root blocks 1\0"
_HASH = 32
MOST = 1 << 22  # blocks


@dataclass(frozen=True)
class Blocks:
    """`manifest` is the version's id; `size` and `block` are bytes."""

    manifest: str
    size: int
    block: int
    hashes: bytes

    def check(self, number: int, data: bytes) -> None:
        """Raises ChunkCorrupt, naming the block, when it is not what was signed."""
        length = min(self.block, self.size - number * self.block)
        expected = self.hashes[number * _HASH : (number + 1) * _HASH]
        if len(data) != length or hashlib.sha256(data).digest() != expected:
            raise ChunkCorrupt(f"block {number} of the root is not what this server signed")


def write(source: BinaryIO, size: int, manifest: str, private: bytes, block: int = BLOCK) -> bytes:
    """The signed list of what `source` holds."""
    header = json.dumps({"manifest": manifest, "size": size, "block": block}, sort_keys=True).encode()
    parts = [header, b"\n"]
    while data := source.read(block):
        parts.append(hashlib.sha256(data).digest())
    body = b"".join(parts)
    return MAGIC + signature.sign(private, digest(body)) + body


def read(data: bytes, public: bytes, manifest: str) -> Blocks:
    """The list, checked. Raises SignatureInvalid, BadInput."""
    start = len(MAGIC) + signature.SIGNATURE_SIZE
    if len(data) < start or not data.startswith(MAGIC):
        raise BadInput("this is no list of a root's blocks")
    body = data[start:]
    signature.verify(public, digest(body), data[len(MAGIC) : start])
    line, _, hashes = body.partition(b"\n")
    try:
        header = json.loads(line)
        found = Blocks(str(header["manifest"]), int(header["size"]), int(header["block"]), hashes)
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise BadInput(f"a damaged list of a root's blocks: {error!r}") from error
    if found.manifest != manifest:
        raise BadInput(f"these are the blocks of {found.manifest[:12]}, not of {manifest[:12]}")
    count = -(-found.size // found.block) if found.block > 0 else 0
    if not 0 < count <= MOST or len(hashes) != count * _HASH:
        raise BadInput("a damaged list of a root's blocks: its length does not fit")
    return found


def digest(body: bytes) -> bytes:
    """What is signed."""
    return hashlib.sha256(LABEL + body).digest()
