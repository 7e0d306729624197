"""A server and its clients in network namespaces of their own, the server with a mount namespace besides.

server  10.99.0.1      one client namespace has .2, which is granted things, and .3, which is not
"""

from __future__ import annotations

import json
import os
import signal
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

SERVER, FRIEND, STRANGER = "10.99.0.1", "10.99.0.2", "10.99.0.3"
ROOT = Path(__file__).parents[3]


class Net:
    """Namespaces that go with it."""

    def __init__(self) -> None:
        self.server, self.client = f"nfs-s{os.getpid()}", f"nfs-c{os.getpid()}"
        for name in (self.server, self.client):
            _ip("netns", "add", name)
            _ip("-n", name, "link", "set", "lo", "up")
        _ip("link", "add", "v0", "netns", self.server, "type", "veth", "peer", "v0", "netns", self.client)
        self._address(self.server, SERVER)
        self._address(self.client, FRIEND)
        self._address(self.client, STRANGER)

    def _address(self, name: str, address: str) -> None:
        _ip("-n", name, "address", "add", f"{address}/24", "dev", "v0")
        _ip("-n", name, "link", "set", "v0", "up")

    def close(self) -> None:
        for name in (self.server, self.client):
            subprocess.run(["ip", "netns", "del", name], check=False)

    def run(self, *words: str, timeout: float = 30) -> subprocess.CompletedProcess[bytes]:
        """In the clients' namespace."""
        return subprocess.run(
            ["ip", "netns", "exec", self.client, *words], capture_output=True, timeout=timeout
        )

    def serve(self, home: Path) -> Serving:
        return Serving(self, home)


class Serving:
    """`nfs_serve.py` in the server's namespace: lines of JSON in and out."""

    def __init__(self, net: Net, home: Path) -> None:
        script = str(Path(__file__).with_name("nfs_serve.py"))
        words = ["ip", "netns", "exec", net.server, "unshare", "--mount", sys.executable, script, str(home)]
        self._process = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT,
            env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"},
        )  # fmt: skip

    def ask(self, verb: str, **facts: Any) -> Any:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps({"verb": verb, **facts}) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline() or '{"error": "it ended"}')
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer["result"]

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(15)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def kill(pid: int) -> None:
    """SIGKILL, and its parent can see that it is dead: not before its last thread is."""
    os.kill(pid, signal.SIGKILL)
    until = time.monotonic() + 20
    while True:
        try:
            status = Path(f"/proc/{pid}/status").read_text()
            if "State:\tZ" in status and len(os.listdir(f"/proc/{pid}/task")) == 1:
                return
        except (FileNotFoundError, ProcessLookupError):
            return
        assert time.monotonic() < until, f"{pid} does not die"
        time.sleep(0.02)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


# --- NFS version 3 by hand (RFC 1813), for what no client does; run in the clients' namespace


def call(port: int, program: int, procedure: int, body: bytes, source: str) -> bytes:
    """One call of version 3 as root from a port below 1024. Raises PermissionError when refused."""
    with socket.socket() as sock:
        sock.settimeout(10)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        for own in range(1000, 600, -1):
            try:
                sock.bind((source, own))
                sock.connect((SERVER, port))
                break
            except OSError:
                continue
        root = struct.pack(">IIIII", 0, 0, 0, 0, 0)
        message = struct.pack(">IIIIII", 7, 0, 2, program, 3, procedure)
        message += struct.pack(">II", 1, len(root)) + root + struct.pack(">II", 0, 0) + body
        sock.sendall(struct.pack(">I", 0x80000000 | len(message)) + message)
        head = sock.recv(4, socket.MSG_WAITALL)
        answer = sock.recv(struct.unpack(">I", head)[0] & 0x7FFFFFFF, socket.MSG_WAITALL)
    if struct.unpack(">I", answer[8:12])[0]:
        raise PermissionError("refused")
    return answer[24:]


def opaque(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data + bytes(-len(data) % 4)


def mount(path: str, source: str, port: int = 20048) -> bytes:
    """The root's file handle. Raises PermissionError."""
    answer = call(port, 100005, 1, opaque(path.encode()), source)
    if struct.unpack(">I", answer[:4])[0]:
        raise PermissionError(f"mount: {struct.unpack('>I', answer[:4])[0]}")
    return answer[8 : 8 + struct.unpack(">I", answer[4:8])[0]]


def lookup(handle: bytes, name: str, source: str) -> bytes:
    answer = call(2049, 100003, 3, opaque(handle) + opaque(name.encode()), source)
    status = struct.unpack(">I", answer[:4])[0]
    if status:
        raise OSError(status, name)
    return answer[8 : 8 + struct.unpack(">I", answer[4:8])[0]]


def getattr_status(handle: bytes, source: str) -> int:
    return int(struct.unpack(">I", call(2049, 100003, 1, opaque(handle), source)[:4])[0])


def read(handle: bytes, source: str) -> str:
    """The first bytes of a file, as hex."""
    answer = call(2049, 100003, 6, opaque(handle) + struct.pack(">QI", 0, 100), source)
    status = struct.unpack(">I", answer[:4])[0]
    if status:
        raise OSError(status, "read")
    return answer[-100:].hex()


def main() -> None:
    """VERB ARGUMENTS...: one JSON answer."""
    verb, *words = sys.argv[1:]
    try:
        if verb == "mount":
            print(json.dumps(mount(*words).hex()))
        elif verb == "getattr":
            print(json.dumps(getattr_status(bytes.fromhex(words[0]), words[1])))
        elif verb == "read":
            print(json.dumps(read(bytes.fromhex(words[0]), words[1])))
        elif verb == "lookup":
            print(json.dumps(lookup(bytes.fromhex(words[0]), words[1], words[2]).hex()))
    except OSError as error:
        print(json.dumps({"refused": str(error)}))


if __name__ == "__main__":
    main()
