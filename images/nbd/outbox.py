"""What waits to be sent to one client: bytes, and stretches of open files that the kernel sends by itself.

Law: a stretch of a file takes no memory while it waits, however slow the client is; bytes are only ever
those of small replies that are on their way right now.
"""

from __future__ import annotations

import os
import socket
from collections import deque
from typing import Protocol

_TOGETHER = 64  # pieces in one sendmsg
_MORE = socket.MSG_MORE


class HasFile(Protocol):
    """Holds a descriptor open for as long as it is referred to."""

    @property
    def fd(self) -> int: ...


class HasData(HasFile, Protocol):
    """Has its bytes mapped as well."""

    data: memoryview


Piece = tuple[int, HasData, int, int]  # where in the buffer it belongs; of what; start and length there


class Outbox:
    """In order. `send` until it is empty."""

    __slots__ = ("_queue", "_sock", "sent")

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._queue: deque[bytes | memoryview | tuple[HasFile, int, int]] = deque()
        self.sent = 0

    def __bool__(self) -> bool:
        return bool(self._queue)

    def __len__(self) -> int:
        return len(self._queue)

    def add(self, data: bytes | memoryview) -> None:
        """Bytes."""
        if data:
            self._queue.append(data)

    def add_file(self, file: HasFile, offset: int, length: int) -> None:
        """A stretch of a file."""
        self._queue.append((file, offset, length))

    def send(self) -> bool:
        """Send what the socket takes; whether all is gone. Raises OSError when the client is gone."""
        queue = self._queue
        try:
            while queue:
                if isinstance(queue[0], tuple):
                    self._send_file(queue[0])
                else:
                    self._send_bytes()
        except BlockingIOError:
            return False
        return True

    def send_now(self, buffer: memoryview, full: int, pieces: list[Piece]) -> None:
        """The first `full` bytes of somebody's buffer, with `pieces` in between, in order. What does not go
        at once waits behind what waits already: bytes are copied for that, pieces are stretches of files."""
        if not pieces:
            self._send_buffer(buffer[:full])
            return
        parts: list[memoryview] = []
        last = 0
        for at, segment, start, length in pieces:
            parts += (buffer[last:at], segment.data[start : start + length])
            last = at
        if last < full:
            parts.append(buffer[last:full])
        sent = 0
        if not self._queue:
            try:
                sent = self._sock.sendmsg(parts)
            except BlockingIOError:
                pass
            self.sent += sent
        for number, part in enumerate(parts):
            if sent >= len(part):
                sent -= len(part)
                continue
            if number % 2 and number // 2 < len(pieces):
                _, segment, start, length = pieces[number // 2]
                self._queue.append((segment, start + sent, length - sent))
            else:
                self._queue.append(bytes(part[sent:]))
            sent = 0

    def _send_buffer(self, data: memoryview) -> None:
        if self._queue:
            self._queue.append(bytes(data))
            return
        try:
            sent = self._sock.send(data)
        except BlockingIOError:
            sent = 0
        self.sent += sent
        if sent < len(data):
            self._queue.append(bytes(data[sent:]))

    def _send_file(self, item: tuple[HasFile, int, int]) -> None:
        file, offset, length = item
        sent = os.sendfile(self._sock.fileno(), file.fd, offset, length)
        if not sent:
            raise OSError("a file of ours ends where it should not")
        self.sent += sent
        if sent == length:
            self._queue.popleft()
        else:
            self._queue[0] = (file, offset + sent, length - sent)

    def _send_bytes(self) -> None:
        parts: list[bytes | memoryview] = []
        flags = 0
        for item in self._queue:
            if isinstance(item, tuple):
                flags = _MORE
                break
            parts.append(item)
            if len(parts) == _TOGETHER:
                break
        sent = self._sock.sendmsg(parts, (), flags)
        self.sent += sent
        for part in parts:
            if sent < len(part):
                self._queue[0] = memoryview(part)[sent:]
                return
            sent -= len(part)
            self._queue.popleft()
