"""What waits for a slow client arrives in order and whole, whichever way it was given."""

from __future__ import annotations

import mmap
import os
import random
import socket
from pathlib import Path

import pytest

from images.nbd.outbox import Outbox, Piece

SIZE = 1 << 20


class File:
    def __init__(self, path: Path) -> None:
        path.write_bytes(random.Random(5).randbytes(SIZE))
        self.fd = os.open(path, os.O_RDONLY)
        self.data = memoryview(mmap.mmap(self.fd, SIZE, access=mmap.ACCESS_READ))

    def __del__(self) -> None:
        os.close(self.fd)


@pytest.mark.parametrize("seed", range(20))
def test_any_mixture(tmp_path: Path, seed: int) -> None:
    chance, file = random.Random(seed), File(tmp_path / "file")
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        ours.setblocking(False)
        theirs.setblocking(False)
        out, expected, got = Outbox(ours), bytearray(), bytearray()
        buffer = bytearray(64 << 10)
        for _ in range(60):
            kind = chance.randrange(4)
            if kind == 0:
                data = chance.randbytes(chance.choice([1, 16, 5000]))
                out.add(data)
                expected += data
            elif kind == 1:
                start, length = stretch(chance)
                out.add_file(file, start, length)
                expected += file.data[start : start + length]
            elif kind == 2:
                expected += now(chance, out, file, buffer)
            else:
                out.send()
                got += drained(theirs, chance.choice([100, 9000, 1 << 20]))
        while not out.send():
            got += drained(theirs, 1 << 20)
        got += drained(theirs, 1 << 30)
        assert got == expected and out.sent == len(expected) and not out


def stretch(chance: random.Random) -> tuple[int, int]:
    start = chance.randrange(SIZE - 1)
    return start, chance.randrange(1, min(SIZE - start, 200_000) + 1)


def now(chance: random.Random, out: Outbox, file: File, buffer: bytearray) -> bytes:
    """Heads in the buffer, some with a piece behind them; the buffer is used for others at once."""
    full, pieces, expected = 0, list[Piece](), b""
    for _ in range(chance.randrange(1, 8)):
        head = chance.randbytes(chance.choice([16, 4112]))
        buffer[full : full + len(head)] = head
        full += len(head)
        expected += head
        if chance.random() < 0.6:
            start, length = stretch(chance)
            pieces.append((full, file, start, length))
            expected += file.data[start : start + length]
    out.send_now(memoryview(buffer), full, pieces)
    buffer[:full] = bytes(full)
    return expected


def drained(sock: socket.socket, most: int) -> bytes:
    found = b""
    while len(found) < most:
        try:
            found += sock.recv(min(most - len(found), 1 << 16))
        except BlockingIOError:
            break
    return found
