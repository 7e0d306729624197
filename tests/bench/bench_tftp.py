"""TFTP: our server beside tftpd-hpa, atftpd and dnsmasq, on loopback, in one run.

    python tests/bench/bench_tftp.py [--size-mib 4] [--seconds 80]

Lockstep in blocks per second (512 and 1432 bytes), windows in MB/s (blksize 1432, windowsize 16 and 64),
with 1, 8 and 64 readers, and the server's CPU seconds for a GiB (where one process does it all). The readers
are the same for all; a peer that does not grant a window is left out of that row.
"""

from __future__ import annotations

import argparse
import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import peers
import spent
from tftp_load import read

SERVER = """
import asyncio, sys
from pathlib import Path
from pxe.catalogue import Catalogue
from pxe.hub import HotSelector
from pxe.tftp.server import Listen, TftpServer

class Silent:
    def record_peer(self, *args): pass

async def main():
    server = TftpServer(Catalogue(public=Path(sys.argv[1])), Silent(), watch=selector)
    await server.start([Listen("127.0.0.1", int(sys.argv[2]))])
    await asyncio.Event().wait()

selector = HotSelector()
with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selector)) as runner:
    runner.run(main())
"""
TERMS = ((512, 1), (1432, 1), (1432, 16), (1432, 64))  # bytes in a block, blocks in a window


def commands(root: Path, port: int) -> dict[str, list[str]]:
    """How each server is started; the peers that can be had."""
    mask = f"--listen-address=127.0.0.1 --port=0 --enable-tftp --tftp-root={root} --conf-file=/dev/null"
    plain = {
        "in.tftpd": ["-L", "-4", "-s", "-a", f"127.0.0.1:{port}", str(root)],
        "atftpd": f"--daemon --no-fork --bind-address 127.0.0.1 --port {port} {root}".split(),
        # dnsmasq knows no other port than 69
        "dnsmasq": ["-k", "--user=root", "--bind-interfaces", "--tftp-max=200", *mask.split()],
    }
    found = {"ours": [sys.executable, "-c", SERVER, str(root), str(port)]}
    there = {name: peers.command(name) for name in plain}
    return found | {name: [*there[name], *words] for name, words in plain.items() if there[name]}


def serve(command: list[str], port: int) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until = time.monotonic() + 10
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.settimeout(0.3)
        while time.monotonic() < until:
            probe.sendto(b"\0\1none\0octet\0", ("127.0.0.1", port))
            try:
                probe.recv(1000)
            except (TimeoutError, ConnectionError):
                continue
            return process
    process.kill()
    raise RuntimeError(f"{command[0]} does not answer")


def measure(
    servers: dict[str, tuple[int, int]], size: int, window: int, clients: int, seconds: float
) -> tuple[dict[str, float], dict[str, float]]:
    """Turn by turn, so that what else the machine does disturbs all alike; of each the best run counts, since
    that is the one that was disturbed least. Speeds, and CPU seconds for a GiB."""
    speeds: dict[str, float] = {}
    work: dict[str, float] = {}
    until, rounds = time.monotonic() + seconds, 0
    while rounds < 3 or time.monotonic() < until:
        rounds += 1
        for name, (port, pid) in servers.items():
            before = spent.cpu(pid)
            total, took = read(port, "small" if clients > 1 else "blob", size, window, clients)
            if total:
                speed = total / took / (size if window == 1 else 1e6)
                speeds[name] = max(speeds.get(name, 0.0), speed)
                work[name] = work.get(name, 0.0) + (spent.cpu(pid) - before) / (total / 2**30)
    return speeds, {name: value / rounds for name, value in work.items()}


def show(size: int, window: int, clients: int, speeds: dict[str, float], work: dict[str, float]) -> None:
    unit = "blocks/s" if window == 1 else "MB/s"
    cost = {name: f" {work[name]:.1f} s/GiB" for name in ("ours", "dnsmasq") if name in work}
    row = "  ".join(f"{name} {speed:,.0f} {unit}{cost.get(name, '')}" for name, speed in speeds.items())
    print(f"blksize {size:4} windowsize {window:2} clients {clients:2}: {row}", flush=True)
    best = max((speed for name, speed in speeds.items() if name != "ours"), default=0.0)
    if best:
        what = "lockstep" if window == 1 else f"window {window}"
        name = f"TFTP {size} {what}, {clients} clients"
        print(f"ratio {name} {speeds['ours'] / best:.2f} aim >= {1 if window == 1 else 5}", flush=True)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--size-mib", type=int, default=4)
    options.add_argument("--seconds", type=float, default=80.0, help="altogether")
    options.add_argument("--clients", default="1,8,64")
    args = options.parse_args()
    wanted = [(*terms, clients) for terms in TERMS for clients in map(int, args.clients.split(","))]
    each = args.seconds / len(wanted)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        root.chmod(0o755)
        for name, size in (("blob", args.size_mib << 20), ("small", (args.size_mib << 20) // 8)):
            (root / name).write_bytes(os.urandom(size))
            (root / name).chmod(0o644)
        running: list[subprocess.Popen[bytes]] = []
        servers: dict[str, tuple[int, int]] = {}
        try:
            for i, name in enumerate(commands(root, 0)):
                port = 69 if name == "dnsmasq" else 16900 + i
                running.append(serve(commands(root, port)[name], port))
                servers[name] = port, running[-1].pid
            for row in wanted:
                show(*row, *measure(servers, *row, each))
        finally:
            for process in running:
                process.terminate()
                process.wait(10)


if __name__ == "__main__":
    main()
