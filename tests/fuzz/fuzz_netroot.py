"""Coverage-guided fuzzing of what a diskless machine's first RAM disk reads: the NBD server's handshake, the
kernel's netlink answers, the list of a root's blocks, the signed task.

    python tests/fuzz/fuzz_netroot.py CORPUS-DIRECTORY [libFuzzer options, such as -max_total_time=60]

The laws: any bytes are a record or an ImageError; nothing is believed that is not signed, whatever a
signature is put before, and what was signed and damaged behind it is still an ImageError; each block of a
list that was read can be checked. The first byte says whose bytes the rest are.
"""

from __future__ import annotations

import hashlib
import io
import json
import struct
import sys
from pathlib import Path

import atheris

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT)]

with atheris.instrument_imports(include=["images.agent.netroot", "images.agent.sealed"]):
    from images import signature
    from images.agent import sealed
    from images.agent.netroot import blocks, nbd_wire
    from images.errors import ChunkCorrupt, ImageError, SignatureInvalid

PRIVATE = bytes(range(32))
PUBLIC = signature.public_key(PRIVATE)
MANIFEST, TOKEN = "5" * 64, "token"


def seeds() -> list[bytes]:
    """What a server, the kernel and our own signer say."""
    export = struct.pack(">HQH", nbd_wire.INFO_EXPORT, 1 << 30, 3)
    replies = [(nbd_wire.INFO, export), (nbd_wire.INFO, struct.pack(">HI", 3, 4096)), (nbd_wire.ACK, b"")]
    replies.append((nbd_wire.ERROR | 2, b"not for you"))
    handshake = struct.pack(">QQH", nbd_wire.MAGIC, nbd_wire.OPTION, 3) + b"".join(
        struct.pack(">QIII", nbd_wire.REPLY, nbd_wire.GO, kind, len(body)) + body for kind, body in replies
    )
    told = nbd_wire.index(3) + nbd_wire.number(nbd_wire.SIZE, 1 << 30) + nbd_wire.sockets(5, 6)
    kernel = nbd_wire.message(28, nbd_wire.CONNECT, told, 9)
    failed = struct.pack("=IHHII", 36, 2, 0, 9, 0) + struct.pack("=i", -28) + kernel[:16]
    root = io.BytesIO(bytes(range(256)) * 20)
    listed = blocks.write(root, 5120, MANIFEST, PRIVATE, block=1024)
    start = len(blocks.MAGIC) + signature.SIGNATURE_SIZE
    task = sealed.seal({"image": {"ref": "debian@1"}}, TOKEN, PRIVATE)
    return [
        b"\0" + handshake, b"\1" + kernel + failed, b"\1" + nbd_wire.family_request("nbd", 1), b"\2" + listed,
        b"\3" + listed[start:], b"\4" + json.dumps(task).encode(), b"\5" + task["signed"].encode(),
    ]  # fmt: skip


def handshake(data: bytes) -> None:
    """As nbd.dial reads it."""
    nbd_wire.greeting(data[:18])
    at = 18
    while len(data) - at >= 20:
        kind, length = nbd_wire.reply_header(data[at : at + 20])
        at += 20
        assert 0 <= length <= 1 << 16
        if kind == nbd_wire.INFO:
            found = nbd_wire.export_of(data[at : at + length])
            assert found is None or (0 <= found.size < 1 << 64 and 0 <= found.flags < 1 << 16)
        at += length


def kernel(data: bytes) -> None:
    """As the kernel's answers are read, and an attribute inside another."""
    for answer in nbd_wire.answers(data):
        assert answer.error is None or not answer.attributes
        for number, value in answer.attributes.items():
            again = nbd_wire.attributes(nbd_wire.attribute(number, value))
            assert again == {number: value}
            nbd_wire.attributes(value)


def list_of_blocks(data: bytes) -> None:
    """Only what our own hand signed is a list, and the block that follows its last one is none."""
    listed = blocks.read(data, PUBLIC, MANIFEST)
    assert listed.manifest == MANIFEST and listed.size > 0 and listed.block > 0
    count = -(-listed.size // listed.block)
    for number in {0, count // 2, count - 1, count}:
        for block in (b"", data):
            try:
                listed.check(number, block)
            except ChunkCorrupt:
                continue
            digest = hashlib.sha256(block).digest()
            assert number < count and listed.hashes[number * 32 : number * 32 + 32] == digest


def signed_list(body: bytes) -> None:
    """Behind a good signature."""
    list_of_blocks(blocks.MAGIC + signature.sign(PRIVATE, blocks.digest(body)) + body)


def task(data: bytes) -> None:
    """As an answer of the server's."""
    try:
        answer = json.loads(data)
    except (ValueError, RecursionError):
        return
    if isinstance(answer, dict):
        assert sealed.opened(answer, TOKEN, PUBLIC) == json.loads(answer["signed"])


def signed_task(data: bytes) -> None:
    """Behind a good signature; good for one boot alone."""
    text = data.decode("utf-8", "replace")
    answer = {"signed": text, "signature": signature.sign(PRIVATE, sealed.digest(text, TOKEN)).hex()}
    try:
        sealed.opened(answer, TOKEN + "x", PUBLIC)
    except SignatureInvalid:
        assert isinstance(sealed.opened(answer, TOKEN, PUBLIC), dict)
        return
    raise AssertionError("another boot's task was taken")


READERS = (handshake, kernel, list_of_blocks, signed_list, task, signed_task)


def one(data: bytes) -> None:
    """One input; raises what must not happen."""
    if not data:
        return
    try:
        READERS[data[0] % len(READERS)](data[1:])
    except ImageError:
        return


if __name__ == "__main__":
    from harness import fuzz

    fuzz(one, seeds())
