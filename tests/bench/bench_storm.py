"""A boot storm: our service beside dnsmasq and nginx, the same simulated machines against both.  (as root)

    python tests/bench/bench_storm.py [--machines 1000] [--losses 0,5] [--limit 240]

Each machine asks for an address as its firmware does, loads iPXE by TFTP in lockstep, asks again as iPXE, and
loads script, kernel and RAM disk by HTTP: the files that `./run setup` made, at their real sizes. Servers are
started for each storm, with their files out of the page cache. The network is three namespaces; the one in
the middle loses so many per cent of the frames each way (nftables, numgen; a frame may be a TCP segment of
64 KiB, as segmentation offload has it). Machines have the patience of EDK2: a DHCP message is sent four times
(4, 8, 16, 32 s), a TFTP one six times, and who fails starts from the beginning, four times, as firmware goes
round its boot order.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import peers

ROOT = Path(__file__).parents[2]
PAYLOAD = Path(sys.prefix) / "share/bootsrv"
FILES = {"vmlinuz": "imager/vmlinuz", "initrd.img": "imager/initrd.img", "snponly.efi": "loaders/snponly.efi"}
BOOTSRV = str(Path(sys.executable).with_name("bootsrv"))
SERVER, MIDDLE, CLIENT = (f"storm{os.getpid()}{letter}" for letter in "smc")
OURS = """
data_dir = "{home}/data"
payload_dir = "{payload}"
interfaces = ["srv0"]
[dns]
enabled = false
[[subnets]]
cidr = "10.94.0.0/16"
mode = "authoritative"
pools = ["10.94.1.0-10.94.60.255"]
"""
NGINX = """
daemon off; master_process off; worker_processes 1; pid {home}/nginx.pid; error_log {home}/error.log;
events {{ worker_connections 8192; }}
http {{
  access_log off; sendfile on; tcp_nopush on; default_type application/octet-stream;
  client_body_temp_path {home}/b; proxy_temp_path {home}/p; fastcgi_temp_path {home}/f;
  uwsgi_temp_path {home}/u; scgi_temp_path {home}/s;
  server {{ listen 10.94.0.1:8080 backlog=4096; root {home}/files; }}
}}
"""
SCRIPT = "#!ipxe\nkernel http://10.94.0.1:8080/vmlinuz\ninitrd http://10.94.0.1:8080/initrd.img\nboot\n"
LOSS = """table netdev loss {{
chain {port} {{
type filter hook ingress device "{port}" priority 0; policy accept;
numgen random mod 100 < {percent} drop
}}
}}
"""


def ip(*words: str, check: bool = True) -> None:
    subprocess.run(["ip", *words], capture_output=True, text=True, timeout=30, check=check)


def network(stack: ExitStack) -> None:
    """Server and machines in namespaces of their own, a bridge in a third between them."""
    for name in (SERVER, MIDDLE, CLIENT):
        ip("netns", "add", name)
        stack.callback(ip, "netns", "delete", name, check=False)
        ip("-n", name, "link", "set", "lo", "up")
    ip("-n", MIDDLE, "link", "add", "br0", "type", "bridge")
    ip("-n", MIDDLE, "link", "set", "br0", "up")
    for name, card, port in ((SERVER, "srv0", "toserver"), (CLIENT, "cli0", "tomachines")):
        ip("-n", MIDDLE, "link", "add", port, "type", "veth", "peer", "name", card, "netns", name)
        ip("-n", MIDDLE, "link", "set", port, "master", "br0", "up")
        ip("-n", name, "link", "set", card, "up")
    ip("-n", SERVER, "address", "add", "10.94.0.1/16", "dev", "srv0")
    # Neighbour tables as a server for a thousand machines has them.
    for name in (SERVER, CLIENT):
        for key, value in (("gc_thresh1", 8192), ("gc_thresh2", 16384), ("gc_thresh3", 32768)):
            write = f"echo {value} >/proc/sys/net/ipv4/neigh/default/{key}"
            ip("netns", "exec", name, "sh", "-c", write, check=False)


def lose(percent: int) -> None:
    for port in ("toserver", "tomachines"):
        command = ["ip", "netns", "exec", MIDDLE, *peers.command("nft"), "-f", "-"]
        subprocess.run(command, input=LOSS.format(port=port, percent=percent), text=True, check=True)


def servers(name: str, home: Path) -> list[list[str]]:
    """The commands of one side."""
    if name == "ours":
        (home / "bootsrv.toml").write_text(OURS.format(home=home, payload=PAYLOAD))
        return [[BOOTSRV, "serve", "--config", str(home / "bootsrv.toml")]]
    files = home / "files"
    files.mkdir()
    for target, source in FILES.items():
        shutil.copy(PAYLOAD / source, files / target)
    (files / "boot.ipxe").write_text(SCRIPT)
    (home / "nginx.conf").write_text(NGINX.format(home=home))
    dnsmasq = (
        "-k --user=root --conf-file=/dev/null --port=0 --interface=srv0 --bind-interfaces --no-ping"
        " --dhcp-authoritative --dhcp-lease-max=100000 --dhcp-range=10.94.1.0,10.94.60.255,255.255.0.0,1h"
        f" --dhcp-leasefile={home}/leases --pid-file={home}/dnsmasq.pid --enable-tftp --tftp-root={files}"
        " --tftp-max=4000 --dhcp-match=set:ipxe,175 --dhcp-boot=tag:!ipxe,snponly.efi"
        " --dhcp-boot=tag:ipxe,http://10.94.0.1:8080/boot.ipxe"
    )
    return [
        [*peers.command("dnsmasq"), *dnsmasq.split()],
        [*peers.command("nginx"), *f"-p {home} -c {home}/nginx.conf -e {home}/error.log".split()],
    ]


def cold(folder: Path) -> None:
    """Have the kernel forget what it holds of these files."""
    for path in folder.rglob("*"):
        if path.is_file():
            descriptor = os.open(path, os.O_RDONLY)
            os.fsync(descriptor)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(descriptor)


def stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def storm(name: str, machines: int, percent: int, limit: int) -> dict[str, Any]:
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="storm-")))
        home.chmod(0o755)
        network(stack)
        commands = servers(name, home)
        cold(PAYLOAD if name == "ours" else home / "files")
        log = stack.enter_context((home / "log").open("w"))
        for command in commands:
            process = subprocess.Popen(["ip", "netns", "exec", SERVER, *command], stdout=log, stderr=log)
            stack.callback(stop, process)
        _ready(home / "log", name)
        if percent:
            lose(percent)
        words = (
            f"bench storm --json --interface cli0 --server 10.94.0.1 --machines {machines} --limit {limit}"
            " --attempts 4 --keep-leases"
        )
        command = ["ip", "netns", "exec", CLIENT, BOOTSRV, *words.split()]
        done = subprocess.run(command, capture_output=True, text=True, timeout=limit + 60, check=False)
        if not done.stdout.startswith("{"):
            raise RuntimeError((done.stderr or (home / "log").read_text())[-500:])
        found: dict[str, Any] = json.loads(done.stdout)
        return found


def _ready(log: Path, name: str) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        listening = subprocess.run(
            ["ip", "netns", "exec", SERVER, "ss", "-lntu"], capture_output=True, text=True, check=True
        ).stdout
        if all(f":{port} " in listening for port in (67, 69, 8080)):
            return
        time.sleep(0.1)
    raise RuntimeError(f"{name} is not ready: {log.read_text()[-500:]}")


def told(one: dict[str, Any]) -> str:
    """A storm in a line, and a line for each reason to fail."""
    stages = "  ".join(f"{stage} {spread['p99']:.1f}" for stage, spread in one["stages"].items())
    first = f"{one['seconds']:.1f} s, {one['failed']} failed, {one['again']} at a later attempt, "
    reasons = [f"    {why['machines']} x {why['reason']}" for why in one["failures"][:3]]
    return "\n".join([f"{first}{one['bytes'] / 1e9:.1f} GB; p99 in s: {stages}", *reasons])


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--machines", type=int, default=1000)
    options.add_argument("--losses", default="0,5", help="per cent, each way")
    options.add_argument("--limit", type=int, default=240, help="seconds for one machine")
    args = options.parse_args()
    if not all((PAYLOAD / source).exists() for source in FILES.values()):
        sys.exit("there is no imager yet: ./run setup")
    sides = ["ours"] + ["dnsmasq+nginx"] * bool(peers.command("dnsmasq") and peers.command("nginx"))
    for percent in map(int, args.losses.split(",")):
        if percent and not peers.command("nft"):
            sys.exit("no nftables here: a network that loses frames cannot be made")
        found = {name: storm(name, args.machines, percent, args.limit) for name in sides}
        for name, one in found.items():
            print(f"{args.machines} machines, {percent} % loss, {name}: {told(one)}", flush=True)
        what = f"storm, {args.machines} machines, {percent} % loss"
        print(f"ratio {what}, ours failed {found['ours']['failed']} aim <= 0")
        if len(found) == 2 and not found["ours"]["failed"]:
            ratio = found["dnsmasq+nginx"]["seconds"] / found["ours"]["seconds"]
            print(f"ratio {what}, speed {ratio:.2f} aim >= 1", flush=True)


if __name__ == "__main__":
    main()
