"""A server of block devices as a process of its own, on loopback, for who brings real clients; and a small
client, for what real clients do not do.

    python tests/nbdhouse.py STORE ROOT PORT     who asks gets what it names; NAME@N/keep lies in ROOT/layers
"""

from __future__ import annotations

import json
import os
import resource
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from images.nbd.exports import Exports
from images.nbd.gate import KEEP, Grant, Place, Refused
from images.nbd.server import Server
from images.store import ImageStore

LIMIT = 64 << 20
CACHE = 1 << 30


class Gate:
    """Everybody gets everything but what is called `secret`."""

    def __init__(self, root: Path, limit: int) -> None:
        self._root, self._limit = root, limit

    def grant(self, peer: str, export: str) -> Grant:
        ref = export.removesuffix(KEEP)
        if ref.startswith("secret"):
            raise Refused(f"{peer} may not have it")
        return Grant(ref, Place(self._root / "layers", self._limit) if ref != export else None)


class Journal:
    """Lines of JSON on stderr."""

    def record_peer(self, address: str, kind: str, text: str, data: Mapping[str, Any] | None = None) -> None:
        sys.stderr.write(json.dumps([address, kind, text, data]) + "\n")
        sys.stderr.flush()


def many_files() -> None:
    """As many as this process may have open at once, as `bootsrv.child` does."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def main() -> None:
    many_files()
    store, root, port = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    exports = Exports(ImageStore.open(store, create=False), root, int(os.environ.get("CACHE", CACHE)))
    exports.prepare()
    server = Server(exports, Gate(root, int(os.environ.get("LIMIT", LIMIT))), Journal())
    server.listen([("127.0.0.1", port)])
    signal.signal(signal.SIGTERM, lambda *_: server.stop())
    server.run()


class House:
    """The process. `said` is what it wrote down so far: [address, kind, text, data] each."""

    def __init__(self, store: Path, root: Path, port: int | None = None, **environment: str) -> None:
        self.port = port or free_port()
        root.mkdir(parents=True, exist_ok=True)
        self._log = root / f"log.{time.monotonic_ns()}"
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, __file__, str(store), str(root), str(self.port)],
                stderr=log, env={**os.environ, **environment},
            )  # fmt: skip
        until = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
                return
            except ConnectionRefusedError:
                assert self.process.poll() is None and time.monotonic() < until, self._log.read_text()
                time.sleep(0.05)

    @property
    def said(self) -> list[Any]:
        return [json.loads(line) for line in self._log.read_text().splitlines() if line.startswith("[")]

    @property
    def log(self) -> str:
        return self._log.read_text()

    def uri(self, export: str) -> str:
        return f"nbd://127.0.0.1:{self.port}/{export}"

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(20)


@contextmanager
def serving(store: Path, root: Path, **environment: str) -> Iterator[House]:
    house = House(store, root, **environment)
    try:
        yield house
    finally:
        if house.process.poll() is None:
            house.stop(signal.SIGKILL)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Peer:
    """One connection with simple replies, request by request."""

    def __init__(self, port: int, export: str, host: str = "127.0.0.1") -> None:
        self.sock = socket.create_connection((host, port), timeout=30)
        self.take(18)
        name = export.encode()
        data = struct.pack(f">I{len(name)}sH", len(name), name, 0)
        self.sock.sendall(struct.pack(">I8sII", 3, b"IHAVEOPT", 7, len(data)) + data)
        self.size, self.flags = 0, 0
        while True:
            _, _, kind, length = struct.unpack(">QIII", self.take(20))
            body = self.take(length)
            if kind & 1 << 31:
                raise PermissionError(kind & 0xFF, body.decode())
            if kind == 3 and body[:2] == b"\0\0":
                self.size, self.flags = struct.unpack_from(">QH", body, 2)
            if kind == 1:
                break

    def take(self, size: int) -> bytes:
        out = bytearray()
        while len(out) < size:
            part = self.sock.recv(size - len(out))
            if not part:
                raise ConnectionError("the server closed the connection")
            out += part
        return bytes(out)

    def ask(self, command: int, offset: int = 0, length: int = 0, data: bytes = b"", flags: int = 0) -> bytes:
        """Raises OSError with the server's error."""
        self.sock.sendall(struct.pack(">IHHQQI", 0x25609513, flags, command, 7, offset, length) + data)
        magic, error, cookie = struct.unpack(">IIQ", self.take(16))
        assert (magic, cookie) == (0x67446698, 7)
        if error:
            raise OSError(error, "the server's answer")
        return self.take(length) if command == 0 else b""

    def read(self, offset: int, length: int) -> bytes:
        return self.ask(0, offset, length)

    def write(self, offset: int, data: bytes, flags: int = 0) -> None:
        self.ask(1, offset, len(data), data, flags)

    def flush(self) -> None:
        self.ask(3)

    def close(self) -> None:
        self.sock.close()


if __name__ == "__main__":
    main()
