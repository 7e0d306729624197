"""DNS: our server beside dnsmasq and NSD, asked by dnsperf on loopback in one run; questions per second.

    python tests/bench/bench_dns.py [--names 10000] [--seconds 4] [--rounds 2]

The same names in both, asked at random with a few that do not exist. No QPS may be bought with lost answers:
a run that loses any is left out.
"""

from __future__ import annotations

import argparse
import random
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import peers

SERVER = """
import asyncio, sys
from ipaddress import ip_network
from pxe.dns.ports import Record
from pxe.dns.server import DnsServer, Listen, Zones

class Names:
    def __init__(self, path):
        rows = [line.split() for line in open(path)]
        self.names = {name: (Record("A", address),) for address, name in rows}
        self.pointers = dict(rows)
    def revision(self): return 1
    def lookup(self, name): return self.names.get(name)
    def pointer(self, address): return self.pointers.get(str(address))

async def main():
    zones = Zones("cluster.test", "boot.cluster.test", (ip_network("10.64.0.0/10"),))
    server = DnsServer(zones, Names(sys.argv[1]))
    await server.start([Listen("127.0.0.1", int(sys.argv[2]))])
    await asyncio.Event().wait()

asyncio.run(main())
"""


def commands(hosts: Path, port: int) -> dict[str, list[str]]:
    mask = (
        f"-k --user=root --conf-file=/dev/null --no-resolv --no-hosts --addn-hosts={hosts} --port={port}"
        " --listen-address=127.0.0.1 --bind-interfaces --local=/cluster.test/ --local=/10.in-addr.arpa/"
    )
    return {
        "ours": [sys.executable, "-c", SERVER, str(hosts), str(port)],
        "dnsmasq": [*peers.command("dnsmasq"), *mask.split()],
        "nsd": [*peers.command("nsd"), "-d", "-c", str(nsd_files(hosts, port))],
    }


def nsd_files(hosts: Path, port: int) -> Path:
    """NSD's configuration, with the same names as zone files."""
    home = hosts.parent
    rows = [line.split() for line in hosts.read_text().splitlines()]
    soa = "$TTL 60\n@ SOA boot.cluster.test. root.cluster.test. 1 3600 900 3600 60\n@ NS boot.cluster.test.\n"
    forward = "".join(f"{name}. A {address}\n" for address, name in rows)
    back = "".join(
        f"{'.'.join(reversed(address.split('.')))}.in-addr.arpa. PTR {name}.\n" for address, name in rows
    )
    (home / "forward.zone").write_text(soa + forward)
    (home / "back.zone").write_text(soa + back)
    config = home / "nsd.conf"
    config.write_text(
        f"""server:
  ip-address: 127.0.0.1@{port}
  username: ""
  chroot: ""
  database: ""
  zonesdir: "{home}"
  pidfile: "{home}/nsd.pid"
  xfrdfile: "{home}/xfrd.state"
  xfrdir: "{home}"
  zonelistfile: "{home}/zone.list"
  cookie-secret-file: "{home}/cookies"
  logfile: "{home}/nsd.log"
  server-count: 1
  rrl-ratelimit: 0
remote-control:
  control-enable: no
zone:
  name: "cluster.test"
  zonefile: "forward.zone"
zone:
  name: "10.in-addr.arpa"
  zonefile: "back.zone"
"""
    )
    return config


def questions(folder: Path, count: int) -> tuple[Path, Path]:
    """A hosts file and what is asked."""
    generator = random.Random(1)
    rows = [(f"10.77.{i >> 8}.{i & 255}", f"n{i}.cluster.test") for i in range(count)]
    hosts, asked = folder / "hosts", folder / "asked"
    hosts.write_text("".join(f"{address} {name}\n" for address, name in rows))
    lines = []
    for address, name in generator.choices(rows, k=20000):
        back = ".".join(reversed(address.split("."))) + ".in-addr.arpa PTR"
        lines.append(generator.choice([f"{name} A", f"{name} A", f"{name} AAAA", back, f"no-{name} A"]))
    asked.write_text("\n".join(lines) + "\n")
    folder.chmod(0o755)
    return hosts, asked


def perf(port: int, asked: Path, seconds: int) -> tuple[float, int]:
    """(questions per second, lost)."""
    asking = f"-s 127.0.0.1 -p {port} -d {asked} -l {seconds} -c 8"
    command = [*peers.command("dnsperf"), *asking.split()]
    text = subprocess.run(command, check=True, capture_output=True, text=True, timeout=seconds + 30).stdout
    speed = re.search(r"Queries per second:\s+([\d.]+)", text)
    lost = re.search(r"Queries lost:\s+(\d+)", text)
    assert speed and lost, text
    return float(speed[1]), int(lost[1])


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--names", type=int, default=10000)
    options.add_argument("--seconds", type=int, default=4)
    options.add_argument("--rounds", type=int, default=2)
    args = options.parse_args()
    best: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        hosts, asked = questions(Path(folder), args.names)
        running: dict[str, tuple[int, subprocess.Popen[bytes]]] = {}
        try:
            for port, name in enumerate(commands(hosts, 0), start=15300):
                if name == "ours" or peers.command(name):
                    running[name] = (port, subprocess.Popen(commands(hosts, port)[name]))
            time.sleep(2)
            for _ in range(args.rounds):
                for name, (port, _) in running.items():
                    speed, lost = perf(port, asked, args.seconds)
                    print(f"{name:8} {speed:10,.0f} q/s  lost {lost}", flush=True)
                    if not lost:
                        best[name] = max(best.get(name, 0.0), speed)
        finally:
            for _, process in running.values():
                process.terminate()
                process.wait(10)
    for name, aim in (("dnsmasq", " aim >= 1"), ("nsd", "")):
        if best.get(name) and "ours" in best:
            print(f"ratio DNS questions/s, {name} {best['ours'] / best[name]:.2f}{aim}")


if __name__ == "__main__":
    main()
