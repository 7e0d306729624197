"""A small web process on a unix socket, for what the server forwards."""

import socket
from http.server import BaseHTTPRequestHandler, HTTPServer


class Web(BaseHTTPRequestHandler):
    """A small web process: tells what it was asked, streams, and takes uploads."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path == "/stream":
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            try:
                while not self.server.stop.wait(0.05):
                    self.wfile.write(b"7\r\ndata: x\r\n")
            except OSError:
                self.server.left.set()
            return
        if self.path == "/dies":
            self.send_response(200)
            self.send_header("Content-Length", "100")
            self.end_headers()
            self.wfile.write(b"half")
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        self._say(str(self.headers).encode())

    def do_POST(self):
        size = int(self.headers["Content-Length"])
        got = 0
        while got < size:
            piece = self.rfile.read(min(65536, size - got))
            if not piece:
                self.server.cut.set()
                return
            got += len(piece)
        self._say(f"{got} bytes".encode())

    def _say(self, body):
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Set-Cookie", "a=1")
        self.send_header("Set-Cookie", "b=2")
        self.send_header("Connection", "x-private")
        self.send_header("X-Private", "hop")
        self.end_headers()
        self.wfile.write(body)

    def address_string(self):
        return "unix"

    def log_message(self, *args):
        pass


class UnixServer(HTTPServer):
    address_family = socket.AF_UNIX

    def server_bind(self):
        self.socket.bind(self.server_address)
        self.server_name, self.server_port = "web", 0

    def get_request(self):
        connection, _ = self.socket.accept()
        return connection, ("unix", 0)
