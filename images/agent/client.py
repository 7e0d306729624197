"""The node's way to the server: JSON over one kept-alive connection, ranges of packs, the boot's token.

The law: a call either returns the server's answer or raises. What may pass by itself (server restarting,
cable pulled, 5xx) is tried again for ever with growing pauses; what will not (4xx) raises `Refused` at
once. Over https only a server is talked to that shows the certificate that we were given over a way that was
trusted already. Python 3.8, standard library only. Node API: see the server's `nodeapi`.
"""

from __future__ import annotations

import json
import random
import re
import threading
import time
from typing import TYPE_CHECKING, Any, Callable
from urllib.parse import urlsplit

from images.errors import ImageError

if TYPE_CHECKING:
    import http.client
    import ssl

    from images.fetch import GetRange

PAUSES = (0.2, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0)  # seconds; the last one repeats
TIMEOUT = 20.0  # seconds without a byte
PASSING = (408, 425, 429, 500, 502, 503, 504)
PARTIAL_CHAIN = 0x80000  # X509_V_FLAG_PARTIAL_CHAIN: the server's own certificate is enough of an anchor
Notice = Callable[[str], None]


class Refused(ImageError):
    """The server said no (4xx): trying again would not help. `reason` is its own line, where it gave one."""

    def __init__(self, status: int, what: str, answer: bytes = b"") -> None:
        self.status, self.reason = status, _reason(answer)
        super().__init__(self.reason or f"the server refused {what} (HTTP {status})")


def believing(certificate: str) -> ssl.SSLContext:
    """For a server that shows this certificate (PEM) and for no other; "": for whom this machine trusts."""
    import ssl  # only here: over plain HTTP nobody needs it

    context = ssl.create_default_context(cadata=certificate or None)
    if certificate:  # pinned: it is known by itself, whatever name it has
        context.check_hostname = False
        context.verify_flags |= PARTIAL_CHAIN
    return context


def _reason(answer: bytes) -> str:
    try:
        said = json.loads(answer[:4096])
    except ValueError:
        return ""
    return str(said.get("error") or "") if isinstance(said, dict) else ""


def _worked(timing: str | None) -> float:
    """Seconds in a header Server-Timing of ours."""
    found = re.search(r"dur=([0-9]{1,9}(?:\.[0-9]{1,9})?)", timing or "")
    return float(found[1]) / 1000 if found else 0.0


class Client:
    """One thread's connection. `copy()` for another thread: http.client is not made to be shared."""

    def __init__(
        self, base: str, token: str, notice: Notice = lambda text: None, give_up: float = 0,
        certificate: str = "",
    ) -> None:  # fmt: skip
        """`base` is http://HOST:PORT or https://. `notice` hears why we wait. `give_up` seconds; 0 means
        never. `certificate`: the server's, as PEM; without one, https trusts whom this machine trusts.
        """
        parts = urlsplit(base)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ImageError(f"bootsrv.url={base} is not an http:// address")
        self._secure, self._certificate = parts.scheme == "https", certificate
        self._where = (parts.hostname, parts.port or (443 if self._secure else 80))
        self.base, self._token, self._notice, self._give_up = base, token, notice, give_up
        self._connection: http.client.HTTPConnection | None = None
        self._context: ssl.SSLContext | None = None
        self.stopping = threading.Event()
        self.date: str | None = None  # the server's clock at its last answer
        self.took = 0.0  # seconds of the last call's that answered, without what the server says it worked

    def copy(self) -> Client:
        """The same server and token, its own connection; stops together with the original."""
        other = Client(self.base, self._token, self._notice, self._give_up, self._certificate)
        other.stopping = self.stopping
        return other

    @property
    def local_address(self) -> str | None:
        """Our address as the server sees it, while connected."""
        if self._connection is None or self._connection.sock is None:
            return None
        return str(self._connection.sock.getsockname()[0])

    def get_json(self, path: str, timeout: float = TIMEOUT) -> dict[str, Any] | None:
        """The JSON object at `path`; None for 204 (nothing there yet)."""
        status, body = self.call("GET", path, timeout=timeout)
        if status == 204 or not body:
            return None
        try:
            answer = json.loads(body)
        except (ValueError, RecursionError):  # somebody else's page
            answer = None
        if not isinstance(answer, dict):
            raise ImageError(f"the server's answer to {path} is no object")
        return answer

    def get(self, path: str) -> bytes:
        """A whole resource (manifest, locator)."""
        return self.call("GET", path)[1]

    def get_range(self, path: str, start: int, length: int) -> bytes:
        """`length` bytes from `start`. A server that sends something else counts as a passing failure."""
        headers = {"Range": f"bytes={start}-{start + length - 1}"}

        def good(status: int, body: bytes) -> bool:
            return status == 206 and len(body) == length

        return self.call("GET", path, headers=headers, good=good)[1]

    def post_json(self, path: str, value: Any, timeout: float = TIMEOUT) -> None:
        """Sends JSON; the answer's body is of no interest."""
        body = json.dumps(value, separators=(",", ":")).encode()
        self.call("POST", path, body, {"Content-Type": "application/json"}, timeout)

    def post_text(self, path: str, text: str) -> None:
        """Sends plain text."""
        self.call(
            "POST", path, text.encode("utf-8", "replace"), {"Content-Type": "text/plain; charset=utf-8"}
        )

    def call(
        self,
        method: str,
        path: str,
        body: bytes | memoryview | None = None,
        headers: dict[str, str] | None = None,
        timeout: float = TIMEOUT,
        good: Callable[[int, bytes], bool] = lambda status, body: 200 <= status < 300,
    ) -> tuple[int, bytes]:
        """One request, repeated until it is answered for good.

        Raises Refused, or OSError after `give_up`, or at once when the server shows another certificate.
        """
        from http.client import HTTPException  # only here: an update that changes nothing asks nothing

        started, attempt = time.monotonic(), 0
        while True:
            try:
                status, answer = self._once(method, path, body, headers or {}, timeout)
                if good(status, answer):
                    return status, answer
                if 400 <= status < 500 and status not in PASSING:
                    raise Refused(status, f"{method} {path.partition('?')[0]}", answer)
                problem = _reason(answer) or f"HTTP {status}" if status >= 400 else "a cut off answer"
            except (OSError, HTTPException) as error:
                if type(error).__name__ == "SSLCertVerificationError":  # it will not become another server
                    raise
                problem = str(error) or type(error).__name__
            self.close()
            if self.stopping.is_set() or 0 < self._give_up <= time.monotonic() - started:
                raise ConnectionError(f"{method} {path.partition('?')[0]}: {problem}")
            self._pause(attempt, problem)
            attempt += 1

    def _once(
        self, method: str, path: str, body: bytes | memoryview | None, headers: dict[str, str], timeout: float
    ) -> tuple[int, bytes]:
        connection = self._connection
        if connection is None:
            connection = self._connection = self._connect(timeout)
        connection.timeout = timeout
        if connection.sock is not None:
            connection.sock.settimeout(timeout)
        started = time.monotonic()
        connection.request(method, path, body, {"Authorization": f"Bearer {self._token}", **headers})
        response = connection.getresponse()
        self.date = response.getheader("Date")
        answer = response.read()
        self.took = time.monotonic() - started - _worked(response.getheader("Server-Timing"))
        return response.status, answer

    def _connect(self, timeout: float) -> http.client.HTTPConnection:
        import http.client

        if not self._secure:
            return http.client.HTTPConnection(*self._where, timeout=timeout)
        if self._context is None:
            self._context = believing(self._certificate)
        return http.client.HTTPSConnection(*self._where, timeout=timeout, context=self._context)

    def _pause(self, attempt: int, problem: str) -> None:
        """Waits; a spread keeps a hall of machines from asking a restarted server in the same instant."""
        seconds = PAUSES[min(attempt, len(PAUSES) - 1)] * random.uniform(0.7, 1.3)  # noqa: S311
        if attempt >= 2:
            self._notice(f"server does not answer ({problem}); trying again")
        self.stopping.wait(seconds)

    def close(self) -> None:
        """Drops the connection; the next call makes a new one."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def packs_by(client: Client) -> GetRange:
    """Ranges of packs over a connection of its own, which any thread may ask for: a stream may begin while
    another's thread still fetches ahead.
    """
    own, alone = client.copy(), threading.Lock()

    def get(pack: str, start: int, length: int) -> bytes:
        with alone:
            return own.get_range(f"/store/packs/{pack}", start, length)

    return get
