"""HTTP: our server beside nginx, on loopback, in the same run; prints MB/s, CPU seconds per GiB, and the
ratio.

    python tests/bench/bench_http.py [--size-mib 512] [--clients 1,64,1000] [--seconds 70]

The client throws the bytes away inside the kernel (MSG_TRUNC), so that what is measured is the server. Turn
by turn, so that what else the machine does disturbs both alike; of each the best run counts.
"""

from __future__ import annotations

import argparse
import os
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import peers
import spent

SERVER = """
import asyncio, sys
from pathlib import Path
from pxe.catalogue import Catalogue
from pxe.http.server import HttpServer
from pxe.hub import HotSelector

files = Catalogue({path.name: path for path in Path(sys.argv[1]).iterdir()})

class Site:
    def boot_file(self, name): return files.fixed(name)
    def record_peer(self, *args): pass

async def main():
    server = HttpServer(Site(), Site(), None, watch=selector)
    await server.start([("127.0.0.1", int(sys.argv[2]))])
    await asyncio.Event().wait()

selector = HotSelector()
asyncio.SelectorEventLoop(selector).run_until_complete(main())
"""

PARTS = (0, 4 << 20, 256 << 10)  # bytes of a range; 0: all of a client's share at once
LEAST = 8 << 20  # bytes that a client fetches at the least

NGINX = """
daemon off; master_process off; worker_processes 1; pid {run}/nginx.pid; error_log {run}/error.log;
events {{ worker_connections 4096; }}
http {{
  access_log off; sendfile on; tcp_nopush on; sendfile_max_chunk 0; keepalive_requests 1000000;
  client_body_temp_path {run}/b; proxy_temp_path {run}/p; fastcgi_temp_path {run}/f;
  uwsgi_temp_path {run}/u; scgi_temp_path {run}/s;
  server {{ listen 127.0.0.1:{port}; location /boot/ {{ alias {root}/; }} }}
}}
"""


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def ours(root: Path, port: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", SERVER, str(root), str(port)])


def nginx(root: Path, port: int) -> subprocess.Popen[bytes]:
    run = Path(tempfile.mkdtemp(prefix="bench-nginx-"))
    (run / "nginx.conf").write_text(NGINX.format(run=run, port=port, root=root))
    return subprocess.Popen(
        [*peers.command("nginx"), "-p", str(run), "-c", str(run / "nginx.conf"), "-e", str(run / "error.log")]
    )


def connect(port: int) -> socket.socket:
    until = time.monotonic() + 10
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port))
        except ConnectionRefusedError:
            if time.monotonic() > until:
                raise
            time.sleep(0.05)


def share(size: int, clients: int) -> int:
    """Bytes that each of so many clients fetches, of the same file: a boot file has some megabytes."""
    return min(size, max(size // clients, LEAST))


def fetch(port: int, name: str, each: int, clients: int, part: int | None) -> float:
    """`clients` connections fetch `each` bytes at once or in `part`-sized ranges. Seconds."""
    step = min(part or each, each)
    watch = selectors.DefaultSelector()
    left: dict[socket.socket, list[int]] = {}
    for _ in range(clients):
        sock = connect(port)
        left[sock] = [0, 0]  # offset of the next range, body bytes still to come
        watch.register(sock, selectors.EVENT_READ)
    started = time.perf_counter()
    for sock, state in left.items():
        request(sock, name, state, step)
    running = clients
    while running:
        for key, _ in watch.select():
            sock = key.fileobj
            assert isinstance(sock, socket.socket)
            state = left[sock]
            if not state[1]:
                state[1] = head(sock)
                continue
            got = sock.recv_into(SINK, 1 << 20, socket.MSG_TRUNC)
            assert got, "the server closed the connection"
            state[1] -= got
            if not state[1]:
                if state[0] + step <= each:
                    request(sock, name, state, step)
                else:
                    watch.unregister(sock)
                    running -= 1
    seconds = time.perf_counter() - started
    for sock in left:
        sock.close()
    return seconds


SINK = bytearray(1 << 20)


def request(sock: socket.socket, name: str, state: list[int], step: int) -> None:
    lines = (
        f"GET /boot/{name} HTTP/1.1\r\nHost: bench\r\nRange: bytes={state[0]}-{state[0] + step - 1}\r\n\r\n"
    )
    sock.sendall(lines.encode())
    state[0] += step
    state[1] = 0


def head(sock: socket.socket) -> int:
    """Read the headers, if they are complete; how many bytes come behind them."""
    seen = sock.recv(4096, socket.MSG_PEEK)
    end = seen.find(b"\r\n\r\n")
    if end < 0:
        return 0
    lines = sock.recv(end + 4).split(b"\r\n")
    assert lines[0].split()[1] in (b"200", b"206"), lines[0]
    return int(next(line for line in lines if line.lower().startswith(b"content-length:"))[15:])


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--size-mib", type=int, default=512)
    options.add_argument("--clients", default="1,64,1000")
    options.add_argument("--seconds", type=float, default=70.0, help="altogether")
    args = options.parse_args()
    if not peers.command("nginx"):
        sys.exit("there is nothing to compare with")
    size = args.size_mib << 20
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        root.chmod(0o755)
        with (root / "blob").open("wb") as file:
            for _ in range(args.size_mib):
                file.write(os.urandom(1 << 20))
        ports = {"ours": free_port(), "nginx": free_port()}
        servers = {"ours": ours(root, ports["ours"]), "nginx": nginx(root, ports["nginx"])}
        try:
            counts = map(int, args.clients.split(","))
            rows = [(n, part) for n in counts for part in PARTS if part < share(size, n)]
            for clients, part in rows:
                compare(servers, ports, size, clients, part or None, args.seconds / len(rows))
        finally:
            for server in servers.values():
                server.send_signal(signal.SIGTERM)
                server.wait(10)


def compare(
    servers: dict[str, subprocess.Popen[bytes]],
    ports: dict[str, int],
    size: int,
    clients: int,
    part: int | None,
    seconds: float,
) -> None:
    speed, work, rounds = dict.fromkeys(servers, 0.0), dict.fromkeys(servers, 0.0), 0
    until = time.monotonic() + seconds
    each = share(size, clients)
    moved = each * clients
    while rounds < 3 or time.monotonic() < until:
        rounds += 1
        for name, server in servers.items():
            before = spent.cpu(server.pid)
            speed[name] = max(speed[name], moved / fetch(ports[name], "blob", each, clients, part) / 1e6)
            work[name] += spent.cpu(server.pid) - before
    what = f"{clients} clients, {f'{part >> 10} KiB ranges' if part else 'whole'}"
    cost = {name: value / rounds / (moved / 2**30) for name, value in work.items()}
    numbers = "  ".join(f"{name} {speed[name]:6.0f} MB/s {cost[name]:.2f} CPU s/GiB" for name in servers)
    print(f"{what:>30}: {numbers}", flush=True)
    print(f"ratio HTTP MB/s, {what} {speed['ours'] / speed['nginx']:.2f} aim >= 0.9")
    if cost["ours"]:
        print(f"ratio HTTP work for a GiB, {what} {cost['nginx'] / cost['ours']:.2f} aim >= 0.9", flush=True)


if __name__ == "__main__":
    main()
