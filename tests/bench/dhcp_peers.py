"""DHCP: our service beside dnsmasq, Kea (memfile) and ISC dhcpd, on a veth pair between two namespaces.

    python tests/bench/dhcp_peers.py [--clients 20000] [--seconds 2] [--only NAMES] [--json]      (as root)

perfdhcp (Debian: kea-admin) simulates the clients; each server runs alone, one after the other, in one run.
The figure is the highest rate of whole exchanges (DISCOVER, OFFER, REQUEST, ACK) at which not one was lost,
found by halving on a scale of logarithms; the median and the 99th percentile of DISCOVER -> OFFER are
measured one by one at half that rate. `cpu` is how much of one core an exchange takes the server there. Ours
stores every lease with fdatasync before its ACK; so does dhcpd; Kea and dnsmasq write without waiting for the
disk. No peer checks addresses for conflicts here; ours is measured without as well, and with by `--only
"ours, addresses checked"`.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from dhcp_latency import at_share, offers
from peers import command
from spent import cpu

SERVER, CLIENT = f"dhcpb{os.getpid()}s", f"dhcpb{os.getpid()}c"
ROOT = Path(__file__).parents[2]
LEAST, MOST, HALVINGS = 50, 25_600, 7
PROBE, PROBES_A_SECOND = "10.64.0.3", 250

OURS = """
data_dir = "{home}/data{check}"
interfaces = ["veth0"]
[dhcp]
force = true
check_addresses = {check}
[tftp]
enabled = false
[[subnets]]
cidr = "10.64.0.0/10"
mode = "authoritative"
pools = ["10.65.0.0-10.70.255.255"]
"""
KEA = {
    "Dhcp4": {
        "interfaces-config": {"interfaces": ["veth0"], "dhcp-socket-type": "udp"},
        "lease-database": {"type": "memfile", "persist": True, "lfc-interval": 0},
        "valid-lifetime": 3600,
        "subnet4": [{"subnet": "10.64.0.0/10", "pools": [{"pool": "10.65.0.0-10.70.255.255"}]}],
        "loggers": [{"name": "kea-dhcp4", "severity": "ERROR", "output_options": [{"output": "stderr"}]}],
    }
}
DHCPD = """
ping-check false; authoritative; default-lease-time 3600;
subnet 10.64.0.0 netmask 255.192.0.0 {{ range 10.65.0.0 10.70.255.255; }}
"""


def run(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


def on(core: int) -> list[str]:
    """The server has one core and the clients another, as on two machines; else each packet that is sent puts
    its receiver in the sender's place."""
    cores = sorted(os.sched_getaffinity(0))
    return ["taskset", "-c", str(cores[core])] if len(cores) > 1 else []


def ours(home: Path, check: str) -> list[str]:
    config = home / f"ours-{check}.toml"
    config.write_text(OURS.format(home=home, check=check))
    return [sys.executable, "-m", "bootsrv.packets", "--config", str(config)]


def dnsmasq(home: Path) -> list[str]:
    return [
        *command("dnsmasq"), "-k", "--user=root", "--conf-file=/dev/null", "--port=0", "--interface=veth0",
        "--bind-interfaces", "--no-ping", "--dhcp-authoritative", "--dhcp-lease-max=1000000", "--quiet-dhcp",
        f"--dhcp-leasefile={home}/dnsmasq.leases", f"--pid-file={home}/dnsmasq.pid",
        "--dhcp-range=10.65.0.0,10.70.255.255,255.192.0.0,1h",
    ]  # fmt: skip


def kea(home: Path) -> list[str]:
    config = json.loads(json.dumps(KEA))
    config["Dhcp4"]["lease-database"]["name"] = str(home / "kea.csv")
    (home / "kea.json").write_text(json.dumps(config))
    return [*command("kea-dhcp4"), "-c", str(home / "kea.json")]


def dhcpd(home: Path) -> list[str]:
    (home / "dhcpd.conf").write_text(DHCPD.format())
    (home / "dhcpd.leases").touch()
    return [
        *command("dhcpd"), "-4", "-f", "-q", "--no-pid", "-user", "root", "-group", "root",
        "-cf", str(home / "dhcpd.conf"), "-lf", str(home / "dhcpd.leases"), "veth0",
    ]  # fmt: skip


SERVERS: dict[str, Callable[[Path], list[str]]] = {
    "ours": lambda home: ours(home, "false"),
    "ours, addresses checked": lambda home: ours(home, "true"),
    "dnsmasq": dnsmasq,
    "kea": kea,
    "dhcpd": dhcpd,
}


def perfdhcp(rate: int, clients: int, seconds: int) -> dict[str, Any]:
    """One run: how many exchanges began, and how many were lost."""
    mac = f"02:00:{rate % 256:02x}:{rate >> 8 & 255:02x}:00:00"  # other clients at each rate
    done = subprocess.run(
        [*on(-1), "ip", "netns", "exec", CLIENT, *command("perfdhcp"), "-4", "-l", "veth1", "-r", str(rate),
         "-R", str(clients), "-p", str(seconds), "-W", "1000000", "-d", "1", "-b", f"mac={mac}", "10.64.0.1"],
        capture_output=True, text=True, timeout=seconds * 5 + 30, check=False,
    )  # fmt: skip
    sent = [int(x) for x in re.findall(r"sent packets: (\d+)", done.stdout)]
    received = [int(x) for x in re.findall(r"received packets: (\d+)", done.stdout)]
    if len(sent) < 2 or len(received) < 2:
        return {"rate": 0, "lost": 1, "said": done.stdout + done.stderr}
    lost = sent[0] - received[0] + sent[1] - received[1]
    return {"rate": received[1] / seconds, "wanted": rate, "lost": lost}


def fastest(server: int, clients: int, seconds: int) -> dict[str, Any]:
    """The highest rate without loss, and how the server does at half of it."""

    def good(rate: int) -> bool:
        for _ in range(2):  # this machine has other things to do: one stumble is forgiven
            tried = perfdhcp(rate, clients, seconds)
            if tried["lost"] == 0 and tried["rate"] > 0.93 * rate:
                return True
            if tried["lost"] > tried.get("wanted", 0) // 2:  # no stumble
                return False
        return False

    low, high = LEAST, MOST
    for _ in range(HALVINGS):
        middle = round(math.sqrt(low * high))
        if good(middle):
            low = middle
        else:
            high = middle
    half = max(low // 2, 1)
    before = cpu(server)
    with ThreadPoolExecutor(1) as pool:
        load = pool.submit(perfdhcp, half, clients, seconds)
        macs = [b"\x06\0" + number.to_bytes(4, "big") for number in range(PROBES_A_SECOND * seconds)]
        times = offers(CLIENT, PROBE, "10.64.0.1", macs, PROBES_A_SECOND, {55: bytes((1, 3, 6, 15))})
        calm = load.result()
    spent = (cpu(server) - before) / max(calm["rate"] * seconds + len(macs) / 2, 1)
    return {
        "exchanges_per_second": low,
        "offer_ms_p50": at_share(times, 0.5),
        "offer_ms_p99": at_share(times, 0.99),
        "cpu_us": round(spent * 1e6),
    }


def measure(name: str, home: Path, clients: int, seconds: int) -> dict[str, Any]:
    arguments = SERVERS[name](home)
    if arguments[0].startswith("-"):  # `command` found nothing to put before its options
        return {"error": "it cannot be had here"}
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "KEA_LOCKFILE_DIR": str(home),
                   "KEA_PIDFILE_DIR": str(home)}  # fmt: skip
    log = (home / f"{name}.log").open("w")
    process = subprocess.Popen(
        [*on(0), "ip", "netns", "exec", SERVER, *arguments], env=environment, stdout=log, stderr=log
    )
    try:
        for _ in range(100):
            time.sleep(0.1)
            if process.poll() is not None:
                return {"error": (home / f"{name}.log").read_text()[-300:]}
            if perfdhcp(1, 1, 1)["lost"] == 0:
                return fastest(process.pid, clients, seconds)
        return {"error": "it does not answer"}
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        log.close()


def network() -> None:
    for name in (SERVER, CLIENT):
        run("ip", "netns", "add", name)
        run("ip", "-n", name, "link", "set", "lo", "up")
    pair = ("type", "veth", "peer", "name", "veth1", "netns", CLIENT)
    run("ip", "-n", SERVER, "link", "add", "veth0", *pair)
    run("ip", "-n", CLIENT, "address", "add", f"{PROBE}/10", "dev", "veth1")
    for name, card, address in ((SERVER, "veth0", "10.64.0.1/10"), (CLIENT, "veth1", "10.64.0.2/10")):
        run("ip", "-n", name, "address", "add", address, "dev", card)
        run("ip", "-n", name, "link", "set", card, "up")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clients", type=int, default=20_000)
    parser.add_argument("--seconds", type=int, default=2)
    parser.add_argument("--only", help="server names, separated by semicolons")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    home = Path(tempfile.mkdtemp(prefix="dhcp-bench-"))
    names = [name for name in SERVERS if "," not in name]
    results: dict[str, dict[str, Any]] = {}
    try:
        network()
        for name in names if arguments.only is None else arguments.only.split(";"):
            results[name] = measure(name, home, arguments.clients, arguments.seconds)
            if not arguments.json:
                print(f"{name:24} {results[name]}", flush=True)
    finally:
        for name in (SERVER, CLIENT):
            subprocess.run(["ip", "netns", "delete", name], check=False, capture_output=True)
        shutil.rmtree(home, ignore_errors=True)
    if arguments.json:
        print(json.dumps(results))
        return
    own = results.get("ours", {}).get("exchanges_per_second", 0)
    for name, result in results.items():
        if result.get("exchanges_per_second") and name != "ours":
            print(f"ratio dhcp-exchanges/{name} {own / result['exchanges_per_second']:.2f}")


if __name__ == "__main__":
    main()
