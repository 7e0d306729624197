"""TFTP readers that cost little, so that a measurement is about the server: N at once in one process.

The payload stays in the kernel (MSG_TRUNC: only the four bytes of the head are copied), whole windows are
taken with one recvmmsg(2), and what a server sent by segmentation offload arrives in one piece (UDP_GRO).
The law: each transfer is checked to be complete and in order; the same reader for every server.
"""

from __future__ import annotations

import ctypes
import select
import socket
import time

_UDP_GRO, _GRO_SPACE = 104, 32
_AT_ONCE = 64
_LIBC = ctypes.CDLL(None, use_errno=True)


class _Piece(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]


class _Message(ctypes.Structure):
    """struct mmsghdr of 64-bit Linux."""

    _fields_ = [
        ("name", ctypes.c_void_p), ("namelen", ctypes.c_uint32),
        ("pieces", ctypes.c_void_p), ("count", ctypes.c_size_t),
        ("control", ctypes.c_void_p), ("controllen", ctypes.c_size_t), ("flags", ctypes.c_int),
        ("padding", ctypes.c_int), ("got", ctypes.c_uint32),
    ]  # fmt: skip


class Batch:
    """Buffers for one recvmmsg(2): heads of datagrams, their lengths, and how they were joined."""

    def __init__(self) -> None:
        self.heads = bytearray(4 * _AT_ONCE)
        self.control = bytearray(_GRO_SPACE * _AT_ONCE)
        head = ctypes.addressof(ctypes.c_char.from_buffer(self.heads))
        control = ctypes.addressof(ctypes.c_char.from_buffer(self.control))
        self.pieces = (_Piece * _AT_ONCE)(*((head + 4 * i, 4) for i in range(_AT_ONCE)))
        self.messages = (_Message * _AT_ONCE)()
        for i, message in enumerate(self.messages):
            message.pieces, message.count = ctypes.addressof(self.pieces[i]), 1
            message.control, message.controllen = control + _GRO_SPACE * i, _GRO_SPACE

    def receive(self, fd: int) -> list[tuple[int, int, int]]:
        """What waits: (number of the first block, bytes, size of each datagram or 0)."""
        messages = self.messages
        count = _LIBC.recvmmsg(fd, messages, _AT_ONCE, socket.MSG_DONTWAIT | socket.MSG_TRUNC, None)
        found = []
        for i in range(count):
            message, heads, size = messages[i], self.heads, 0
            if message.controllen:  # of UDP_GRO, the only kind that was asked for
                size = int.from_bytes(self.control[_GRO_SPACE * i + 16 : _GRO_SPACE * i + 20], "little")
            message.controllen = _GRO_SPACE
            found.append((heads[4 * i + 2] << 8 | heads[4 * i + 3], message.got, size))
        return found


class Reader:
    """One transfer. `begin` sends the request; `readable` takes what came and is True at the end."""

    def __init__(self, port: int, name: str, blksize: int, window: int) -> None:
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        self.sock.settimeout(5)
        self.granted = True
        self.bytes = self.since = 0
        self.last = 0  # number of the last block that came in order
        self._blksize, self._window = blksize, window
        options = f"blksize\0{blksize}\0" + (f"windowsize\0{window}\0" if window > 1 else "")
        self.sock.sendto(f"\0\1{name}\0octet\0{options}".encode(), ("127.0.0.1", port))
        raw, peer = self.sock.recvfrom(70000)
        if raw[1] != 6 or (window > 1 and f"windowsize\0{window}\0".encode() not in raw):
            self.granted = False
            self.sock.sendto(b"\0\5\0\x08no window\0", peer)
        self.sock.connect(peer)
        self.fd = self.sock.fileno()
        if window > 1:
            self.sock.setsockopt(socket.IPPROTO_UDP, _UDP_GRO, 1)
        self._head = bytearray(4)

    def begin(self) -> None:
        self.sock.send(b"\0\4\0\0")

    def lockstep(self) -> bool:
        """One block and its ACK; waits for it when the socket is blocking."""
        got = self.sock.recv_into(self._head, 4, socket.MSG_TRUNC) - 4
        head = self._head
        number = head[2] << 8 | head[3]
        if number == self.last:
            return False  # sent again, since this process was late: it is answered already
        self.last = (self.last + 1) & 0xFFFF
        assert number == self.last, "a block is missing"
        self.bytes += got
        head[1] = 4
        self.sock.send(head)
        return got < self._blksize

    def windowed(self, batch: Batch) -> bool:
        """All that waits; an ACK for each whole window."""
        for number, got, size in batch.receive(self.fd):
            if number != (self.last + 1) & 0xFFFF:
                self._ack()  # a gap: what came in order, once
                continue
            blocks = -(-got // size) if size else 1
            self.last = (self.last + blocks) & 0xFFFF
            self.bytes += got - 4 * blocks
            self.since += blocks
            if got < (size or self._blksize + 4) or (size and got % size):
                self._ack()
                return True
            if self.since >= self._window:
                self._ack()
        return False

    def _ack(self) -> None:
        self.since = 0
        self.sock.send(b"\0\4" + self.last.to_bytes(2, "big"))

    def close(self) -> None:
        self.sock.close()


def read(port: int, name: str, blksize: int, window: int, clients: int) -> tuple[int, float]:
    """That many transfers at once: (bytes together, seconds); (0, 0) when the window is not granted."""
    readers = [Reader(port, name, blksize, window) for _ in range(clients)]
    try:
        if not all(reader.granted for reader in readers):
            return 0, 0.0
        started = time.perf_counter()
        if clients == 1 and window == 1:
            readers[0].begin()
            while not readers[0].lockstep():
                pass
        else:
            _together(readers, window)
        return sum(reader.bytes for reader in readers), time.perf_counter() - started
    finally:
        for reader in readers:
            reader.close()


def _together(readers: list[Reader], window: int) -> None:
    poll, batch = select.epoll(), Batch()
    waiting = {}
    for reader in readers:
        reader.sock.setblocking(False)
        waiting[reader.fd] = reader.lockstep if window == 1 else (lambda r=reader: r.windowed(batch))
        poll.register(reader.fd, select.EPOLLIN)
    for reader in readers:
        reader.begin()
    while waiting:
        events = poll.poll(5.0, len(readers))
        assert events, "the server fell silent"
        for fd, _ in events:
            if waiting[fd]():
                del waiting[fd]
                poll.unregister(fd)
    poll.close()
