"""Another computer on a lab's bridge: a network namespace of its own inside the lab's, with one card and one
program. It ends with the lab, or with `close`."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

from bootsrv.lab.namespace import Namespace

# The card is pushed in from outside; a namespace has nothing but `lo` until then.
START = """
until ip link show eth0 >/dev/null 2>&1; do sleep 0.1; done
ip link set lo up && ip address add "$1" dev eth0 && ip link set eth0 up || exit 1
shift
exec "$@"
"""


class Neighbour:
    """`address` with its prefix length, as `10.77.0.2/24`; `command` runs in the foreground."""

    def __init__(self, namespace: Namespace, address: str, command: list[str], log: Path) -> None:
        self.log = log
        with log.open("ab") as output:
            self._process = namespace.spawn(
                ["unshare", "--net", "--", "sh", "-c", START, "sh", address, *command], output
            )
        try:
            self._plug_in(namespace)
        except BaseException:
            self.close()
            raise

    def _plug_in(self, namespace: Namespace) -> None:
        pid = self._process.pid
        here = Path(f"/proc/{namespace.pid}/ns/net").readlink()
        ends = time.monotonic() + 20
        while Path(f"/proc/{pid}/ns/net").readlink() == here:  # `unshare` has not got to it yet
            assert time.monotonic() < ends, "no network namespace was made"
            time.sleep(0.02)
        for arguments in (
            ["link", "add", "other0", "type", "veth", "peer", "name", "eth0", "netns", str(pid)],
            ["link", "set", "other0", "master", namespace.bridge, "up"],
        ):
            # Not through the lab's process namespace: there, this process id means nothing.
            command = ["nsenter", f"--target={namespace.pid}", "--net", "--", "ip", *arguments]
            subprocess.run(command, check=True, capture_output=True, timeout=20)

    def close(self) -> None:
        self._process.kill()


def dnsmasq(namespace: Namespace, home: Path) -> Neighbour:
    """A DHCP server that knows nothing of network boot, at 10.77.0.2."""
    command = [
        "dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--user=root", "--port=0",
        "--interface=eth0", "--bind-interfaces", "--no-ping", "--log-dhcp", "--log-facility=-",
        "--dhcp-authoritative", "--dhcp-range=10.77.0.50,10.77.0.90,255.255.255.0,1h",
        f"--dhcp-leasefile={home}/dnsmasq.leases", f"--pid-file={home}/dnsmasq.pid",
    ]  # fmt: skip
    return Neighbour(namespace, "10.77.0.2/24", command, home / "dnsmasq.log")
