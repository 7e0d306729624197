"""One HTTP download: request bytes, and what comes back, counted.

RFC 9112. HTTP/1.0 is asked for, so that the body ends with Content-Length or with the connection, never in
chunks. Pure. The law: any bytes give progress, an end or `failed`; memory is bounded, for a body is kept
only up to KEPT bytes.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

MAX_HEAD = 64 * 1024
KEPT = 64 * 1024
_STATUS = re.compile(rb"HTTP/1\.[01] ([0-9]{3})(?: |\r?\Z)")


class HttpClient:
    """Send `request()`, give what arrives to `receive`, and call `ended` when the connection closes."""

    def __init__(self, url: str, keep: bool = False) -> None:
        """Raises ValueError for what is not an http URL."""
        parts = urlsplit(url)
        if parts.scheme != "http" or not parts.hostname:
            raise ValueError(f"{url[:80]!r} is not an http URL")
        self.host, self.port = parts.hostname, parts.port or 80
        self._path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._authority = parts.netloc.rpartition("@")[2]
        self._head: bytearray | None = bytearray()
        self._keep = keep
        self._expected: int | None = None
        self.body = bytearray()
        self.size = 0
        self.complete = False
        self.failed = ""

    @property
    def done(self) -> bool:
        return self.complete or bool(self.failed)

    def request(self) -> bytes:
        lines = (f"GET {self._path} HTTP/1.0", f"Host: {self._authority}", "User-Agent: bootsrv-storm")
        return ("\r\n".join((*lines, "Connection: close")) + "\r\n\r\n").encode("ascii", "replace")

    def receive(self, data: bytes | memoryview) -> None:
        """Bytes as they arrived."""
        if self.done:
            return
        if self._head is not None:
            data = self._read_head(data)
            if self._head is not None:
                return
        if self._keep and len(self.body) < KEPT:
            self.body += data[: KEPT - len(self.body)]
        self.passed(len(data))

    @property
    def counts(self) -> bool:
        """Whether what comes now only needs to be counted."""
        return self._head is None and not self._keep

    def passed(self, count: int) -> None:
        """So many bytes of the body arrived."""
        self.size += count
        if self._expected is not None and self.size >= self._expected and not self.failed:
            self.complete = True

    def ended(self) -> None:
        """The server closed the connection."""
        if self.done:
            return
        if self._head is not None:
            self.failed = "closed before an answer"
        elif self._expected is not None:
            self.failed = f"closed after {self.size} of {self._expected} bytes"
        else:
            self.complete = True

    def _read_head(self, data: bytes | memoryview) -> bytes | memoryview:
        """Collect the head; gives what follows it, nothing while it is not complete."""
        assert self._head is not None
        self._head += data
        end = self._head.find(b"\r\n\r\n")
        if end < 0:
            if len(self._head) > MAX_HEAD:
                self.failed = "the head of the answer never ends"
            return b""
        head, rest = bytes(self._head[:end]), bytes(self._head[end + 4 :])
        self._head = None
        lines = head.split(b"\r\n")
        status = _STATUS.match(lines[0])
        if status is None:
            self.failed = "not HTTP"
        elif status[1] != b"200":
            self.failed = f"status {status[1].decode()}"
        else:
            self._fields(lines[1:])
        return rest

    def _fields(self, lines: list[bytes]) -> None:
        for line in lines:
            name, _, value = line.partition(b":")
            text = value.strip()
            if name.strip().lower() == b"content-length":
                if not (text.isdigit() and len(text) < 19):
                    self.failed = "a bad Content-Length"
                    return
                self._expected = int(text)
            elif name.strip().lower() == b"transfer-encoding":
                self.failed = "chunks, which HTTP/1.0 does not know"
