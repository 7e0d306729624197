"""A load of block reads that costs as little as it can: many connections in one loop, answers dropped
inside the kernel (MSG_TRUNC) and only counted, so that what is measured is the server.

    python tests/bench/nbd_load.py PORT EXPORT CLIENTS DEPTH BYTES random|sequential SECONDS

Prints requests a second. Every answer of a run has the same length, so bytes tell how many have come; that
they are the right ones is for a run of `check` to say beforehand.
"""

from __future__ import annotations

import random
import select
import socket
import struct
import sys
import time

REQUEST = struct.Struct(">IHHQQI")
HEAD = 16  # bytes of a simple reply before its data
SINK = bytearray(4 << 20)


def attach(port: int, export: str, host: str = "127.0.0.1") -> tuple[socket.socket, int]:
    """A connection to an export, simple replies; its size."""
    sock = socket.create_connection((host, port), timeout=30)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    exactly(sock, 18)
    name = export.encode()
    data = struct.pack(f">I{len(name)}sH", len(name), name, 0)
    sock.sendall(struct.pack(">I8sII", 3, b"IHAVEOPT", 7, len(data)) + data)
    size = 0
    while True:
        _, _, kind, length = struct.unpack(">QIII", exactly(sock, 20))
        body = exactly(sock, length)
        if kind & 1 << 31:
            raise OSError(f"{export}: refused with {kind:#x} {body!r}")
        if kind == 3 and body[:2] == b"\0\0":
            size = struct.unpack_from(">Q", body, 2)[0]
        if kind == 1:
            return sock, size


def exactly(sock: socket.socket, size: int) -> bytes:
    out = bytearray()
    while len(out) < size:
        part = sock.recv(size - len(out))
        if not part:
            raise OSError("the server closed the connection")
        out += part
    return bytes(out)


def read(sock: socket.socket, offset: int, length: int) -> bytes:
    """One read, checked for an error."""
    sock.sendall(REQUEST.pack(0x25609513, 0, 0, 1, offset, length))
    magic, error, _ = struct.unpack(">IIQ", exactly(sock, HEAD))
    if magic != 0x67446698 or error:
        raise OSError(error, "the server says error")
    return exactly(sock, length)


class _Reader:
    """One client: `depth` requests under way all the time."""

    def __init__(self, sock: socket.socket, offsets: list[int], length: int, depth: int) -> None:
        self.sock, self.length = sock, length
        packed = [REQUEST.pack(0x25609513, 0, 0, n, at, length) for n, at in enumerate(offsets)]
        self._requests = packed
        self._next, self.bytes = 0, 0
        self.ask(depth)

    def ask(self, count: int) -> None:
        first, total = self._next, len(self._requests)
        self._next += count
        self.sock.sendall(b"".join(self._requests[n % total] for n in range(first, first + count)))

    def leave(self) -> None:
        """Take what is still under way, and say goodbye: nbdkit ends when clients vanish."""
        while self.bytes < self._next * (HEAD + self.length):
            self.readable()
        self.sock.sendall(REQUEST.pack(0x25609513, 0, 2, 0, 0, 0))
        self.sock.close()

    def readable(self) -> int:
        """How many answers are complete now that were not."""
        before = self.bytes // (HEAD + self.length)
        got = self.sock.recv_into(SINK, len(SINK), socket.MSG_TRUNC)
        if not got:
            raise OSError("the server closed the connection")
        self.bytes += got
        return self.bytes // (HEAD + self.length) - before


def load(port: int, export: str, clients: int, depth: int, length: int, order: str, seconds: float) -> float:
    """Requests a second."""
    pairs = [attach(port, export) for _ in range(clients)]
    watch = select.epoll()
    readers = {}
    chance = random.Random(1)
    for sock, size in pairs:
        places = list(range(0, size - length + 1, length))
        if order == "random":
            places = [chance.randrange(0, size // 4096 - length // 4096 + 1) * 4096 for _ in range(4096)]
        else:
            start = chance.randrange(len(places)) if clients > 1 else 0
            places = places[start:] + places[:start]
        readers[sock.fileno()] = _Reader(sock, places, length, depth)
        watch.register(sock.fileno(), select.EPOLLIN)
    done, started = 0, time.perf_counter()
    until = started + seconds
    while time.perf_counter() < until:
        for fd, _ in watch.poll(1):
            reader = readers[fd]
            if count := reader.readable():
                done += count
                reader.ask(count)
    spent = time.perf_counter() - started
    for reader in readers.values():
        reader.leave()
    return done / spent


def replay(port: int, export: str, clients: int, trace: list[tuple[int, int]]) -> tuple[float, float]:
    """Each client reads the trace, one request after the other. Seconds until all are done; of one read."""
    watch, state = select.epoll(), {}
    for _ in range(clients):
        sock, _ = attach(port, export)
        state[sock.fileno()] = [sock, 0, HEAD + trace[0][1]]
        watch.register(sock.fileno(), select.EPOLLIN)
    started, running = time.perf_counter(), clients
    for sock, _, _ in state.values():
        sock.sendall(REQUEST.pack(0x25609513, 0, 0, 0, *trace[0]))
    while running:
        for fd, _ in watch.poll(60):
            one = state[fd]
            got = one[0].recv_into(SINK, min(len(SINK), one[2]), socket.MSG_TRUNC)
            if not got:
                raise OSError("the server closed the connection")
            one[2] -= got
            if one[2]:
                continue
            one[1] += 1
            if one[1] == len(trace):
                watch.unregister(fd)
                running -= 1
                continue
            one[2] = HEAD + trace[one[1]][1]
            one[0].sendall(REQUEST.pack(0x25609513, 0, 0, one[1], *trace[one[1]]))
    spent = time.perf_counter() - started
    for sock, _, _ in state.values():
        sock.sendall(REQUEST.pack(0x25609513, 0, 2, 0, 0, 0))
        sock.close()
    return spent, spent / len(trace)


if __name__ == "__main__":
    port, export, clients, depth, length, order, seconds = sys.argv[1:]
    print(load(int(port), export, int(clients), int(depth), int(length), order, float(seconds)))
