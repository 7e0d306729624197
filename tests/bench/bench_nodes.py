"""100,000 registered nodes: how soon the service is ready, how fast it offers, how much memory it takes.

    python tests/bench/bench_nodes.py [--nodes 100000] [--asked 3000]        (as root)

The service runs as it is shipped (`bootsrv serve`, all its processes) in a network namespace; nodes drawn by
lot ask as PXE firmware through a relay in another. Memory is the sum of what its processes take, shared pages
shared out (PSS). The registry is filled before; that is not counted.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from ipaddress import IPv4Address
from pathlib import Path

from dhcp import FIRMWARE
from dhcp_latency import at_share, offers
from dhcp_peers import CLIENT, PROBE, ROOT, SERVER, network

from bootsrv.model import Node, NodeState
from bootsrv.registry.registry import opened

FIRST = IPv4Address("10.72.0.0")
RATE = 400  # questions a second
AIMS = {"offer-p99": 2.0, "ready": 5.0, "memory": 400.0}  # milliseconds, seconds, MB
CONFIG = """
data_dir = "{home}/data"
interfaces = ["veth0"]
domain = "cluster.test"
[dhcp]
force = true
[[subnets]]
cidr = "10.64.0.0/10"
mode = "authoritative"
pools = ["10.65.0.0-10.70.255.255"]
"""


def mac(number: int) -> bytes:
    return b"\x52\x54" + number.to_bytes(4, "big")


def fill(path: Path, count: int) -> None:
    """Nodes as an administrator would have them after some months."""
    with opened(path) as registry:
        for first in range(0, count, 5000):
            with registry.transaction():
                for number in range(first, min(first + 5000, count)):
                    registry.nodes.save(
                        Node(
                            id=0,
                            name=f"n{number}",
                            macs=(mac(number).hex(":"),),
                            state=NodeState.RUNNING,
                            address=FIRST + number,
                            groups=(f"rack{number // 40}",),
                            created=time.time(),
                        )
                    )


def memory(root: int) -> float:
    """Megabytes (PSS) of a process and all below it."""
    total, todo = 0, [root]
    while todo:
        one = todo.pop()
        for line in Path(f"/proc/{one}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1])
        for task in Path(f"/proc/{one}/task").iterdir():
            todo += [int(child) for child in (task / "children").read_text().split()]
    return total / 1024


def measure(home: Path, nodes: int, asked: int) -> dict[str, float]:
    (home / "bootsrv.toml").write_text(CONFIG.format(home=home))
    home.chmod(0o755)
    (home / "data").mkdir()
    fill(home / "data/registry.db", nodes)
    command = [sys.executable, "-m", "bootsrv.cli.main", "serve", "--config", str(home / "bootsrv.toml")]
    log = home / "log"
    found: dict[str, float] = {}
    for start in ("first", "second"):  # the first one also makes keys, and the last good copy
        began = time.perf_counter()
        with log.open("w") as file:
            process = subprocess.Popen(
                ["ip", "netns", "exec", SERVER, *command], env={**os.environ, "PYTHONPATH": str(ROOT)},
                stdout=file, stderr=file,
            )  # fmt: skip
        try:
            while "ready" not in log.read_text().splitlines():
                if process.poll() is not None or time.perf_counter() - began > 60:
                    raise SystemExit(f"it does not start: {log.read_text()[-500:]}")
                time.sleep(0.01)
            found[f"ready_{start}_s"] = round(time.perf_counter() - began, 2)
            chosen = [mac(number) for number in random.sample(range(nodes), min(asked, nodes))]
            times = offers(CLIENT, PROBE, "10.64.0.1", chosen, RATE, FIRMWARE)
            found |= {f"offer_ms_p{share * 100:g}": at_share(times, share) for share in (0.5, 0.99, 0.999)}
            found["lost"] = times.count(float("inf"))
            found["memory_mb"] = round(memory(process.pid))
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--nodes", type=int, default=100_000)
    parser.add_argument("--asked", type=int, default=3000)
    arguments = parser.parse_args()
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    home = Path(tempfile.mkdtemp(prefix="nodes-bench-"))
    try:
        network()
        found = measure(home, arguments.nodes, arguments.asked)
    finally:
        for name in (SERVER, CLIENT):
            subprocess.run(["ip", "netns", "delete", name], check=False, capture_output=True)
        shutil.rmtree(home, ignore_errors=True)
    print(found)
    ready = max(found["ready_first_s"], found["ready_second_s"])
    for name, value in (
        ("offer-p99", found["offer_ms_p99"]), ("ready", ready), ("memory", found["memory_mb"]),
    ):  # fmt: skip
        print(f"ratio nodes-100000/{name} {AIMS[name] / value:.2f}")


if __name__ == "__main__":
    main()
