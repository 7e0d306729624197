"""TFTP: our server beside the peers that are installed (tftpd-hpa, atftpd, dnsmasq), on loopback, in one run.

    python tests/bench/bench_tftp.py [--size-mib 4] [--rounds 12]

Lockstep in blocks per second (512 and 1432 bytes), windows in MB/s (blksize 1432, windowsize 16 and 64). The
client is one plain socket loop, the same for all; a peer that does not grant a window is left out of that
row.
"""

from __future__ import annotations

import argparse
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SERVER = """
import asyncio, sys
from pathlib import Path
from pxe.catalogue import Catalogue
from pxe.tftp.hub import HotSelector
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


def commands(root: Path, port: int) -> dict[str, list[str]]:
    here = f"127.0.0.1:{port}"
    mask = f"--listen-address=127.0.0.1 --port=0 --enable-tftp --tftp-root={root} --conf-file=/dev/null"
    return {
        "ours": [sys.executable, "-c", SERVER, str(root), str(port)],
        "tftpd-hpa": ["in.tftpd", "-L", "-4", "-s", "-a", here, str(root)],
        "atftpd": [
            "atftpd",
            "--daemon",
            "--no-fork",
            "--bind-address",
            "127.0.0.1",
            "--port",
            str(port),
            str(root),
        ],
        "dnsmasq": ["dnsmasq", "-k", "--user=root", "--bind-interfaces", *mask.split()],
    }


def read(port: int, blksize: int, window: int) -> tuple[int, float]:
    """One transfer: (bytes, seconds); (0, 0) when the window is not granted."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
    sock.settimeout(5)
    options = f"blksize\0{blksize}\0" + (f"windowsize\0{window}\0" if window > 1 else "")
    sock.sendto(b"\0\1blob\0octet\0" + options.encode(), ("127.0.0.1", port))
    raw, peer = sock.recvfrom(70000)
    if raw[1] != 6 or (window > 1 and f"windowsize\0{window}".encode() not in raw):
        return 0, 0.0
    sock.connect(peer)
    started = time.perf_counter()
    sock.send(b"\0\4\0\0")
    total, expected, since = 0, 1, 0
    buffer = bytearray(blksize + 4)
    while True:
        got = sock.recv_into(buffer)
        if buffer[2] << 8 | buffer[3] != expected & 0xFFFF:
            sock.send(b"\0\4" + ((expected - 1) & 0xFFFF).to_bytes(2, "big"))
            since = 0
            continue
        total, expected, since = total + got - 4, expected + 1, since + 1
        last = got - 4 < blksize
        if last or since == window:
            sock.send(b"\0\4" + buffer[2:4])
            since = 0
        if last:
            return total, time.perf_counter() - started


def serve(command: list[str], port: int) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until = time.monotonic() + 10
    probe = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
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


def measure(servers: dict[str, int], blksize: int, window: int, rounds: int) -> str:
    """Turn by turn, so that what else the machine does disturbs all alike; of each the best run counts, since
    that is the one that was disturbed least."""
    numbers: dict[str, float] = {}
    for _ in range(rounds):
        for name, port in servers.items():
            total, seconds = read(port, blksize, window)
            if total:
                speed = total / seconds / (blksize if window == 1 else 1e6)
                numbers[name] = max(numbers.get(name, 0.0), speed)
    unit = "blocks/s" if window == 1 else "MB/s"
    best = max((value for name, value in numbers.items() if name != "ours"), default=0.0)
    row = "  ".join(f"{name} {value:,.0f} {unit}" for name, value in numbers.items())
    ratio = f"  ratio to the best peer {numbers['ours'] / best:.2f}" if best else ""
    return f"blksize {blksize:4} windowsize {window:2}: {row}{ratio}"


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--size-mib", type=int, default=4)
    options.add_argument("--rounds", type=int, default=12)
    args = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        root.chmod(0o755)
        (root / "blob").write_bytes(os.urandom(args.size_mib << 20))
        (root / "blob").chmod(0o644)
        running: list[subprocess.Popen[bytes]] = []
        servers: dict[str, int] = {}
        try:
            for i, (name, command) in enumerate(commands(root, 0).items()):
                port = 69 if name == "dnsmasq" else 16900 + i  # dnsmasq knows no other port for TFTP
                if shutil.which(command[0]) or name == "ours":
                    running.append(serve(commands(root, port)[name], port))
                    servers[name] = port
            for blksize, window in ((512, 1), (1432, 1), (1432, 16), (1432, 64)):
                print(measure(servers, blksize, window, args.rounds), flush=True)
        finally:
            for process in running:
                process.terminate()
                process.wait(10)


if __name__ == "__main__":
    main()
