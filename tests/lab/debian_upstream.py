"""The Internet as a lab's server sees it: one address in the lab's network that has part of Debian's archive,
and nothing else. Machines and server of a lab have no way out of their namespace.
"""

from __future__ import annotations

import ctypes
import os
import socket
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from bootsrv.lab.namespace import Namespace

PORT = 3142
CLONE_NEWNET = 0x40000000


class Upstream:
    """`http://ADDRESS:3142/debian/...`, ADDRESS being the lab's: the files below `archive`. `asked` counts
    how often each was."""

    def __init__(self, namespace: Namespace, archive: Path) -> None:
        self.asked: Counter[str] = Counter()
        self._files = {
            f"/debian/{path.relative_to(archive)}": path
            for path in archive.rglob("*")
            if path.is_file()
        }
        address = str(namespace.address.ip)
        self.url = f"http://{address}:{PORT}/debian"
        self._server = ThreadingHTTPServer((address, PORT), self._handler(), bind_and_activate=False)
        self._server.socket.close()
        self._server.socket = _listen_in(namespace, address)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        files, asked = self._files, self.asked

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                asked[self.path] += 1
                found = files.get(self.path)
                self.send_response(200 if found else 404)
                self.send_header("Content-Length", str(found.stat().st_size if found else 0))
                self.end_headers()
                if found and self.command == "GET":
                    with found.open("rb") as file:
                        self.connection.sendfile(file)

            do_HEAD = do_GET

            def log_message(self, format: str, *args: object) -> None:
                """Nobody reads it: `asked` counts."""

        return Handler


def _listen_in(namespace: Namespace, address: str) -> socket.socket:
    """A socket belongs to the network it was made in, whoever uses it later."""

    def make() -> socket.socket:
        libc = ctypes.CDLL(None, use_errno=True)
        descriptor = os.open(f"/proc/{namespace.pid}/ns/net", os.O_RDONLY)
        try:
            if libc.setns(descriptor, CLONE_NEWNET) != 0:  # of this thread only
                raise OSError(ctypes.get_errno(), "setns")
        finally:
            os.close(descriptor)
        return socket.create_server((address, PORT), backlog=64)

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(make).result()
