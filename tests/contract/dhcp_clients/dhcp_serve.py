"""Runs the DHCP service by itself, for tests inside a network namespace.

Usage: python dhcp_serve.py INTERFACE JSON-OF-SUBNET STATE-FILE [RESERVED-MAC=ADDRESS...]
DHCP_SERVE in the environment: JSON of more fields of DhcpConfig.
Leases and events go as JSON lines to STATE-FILE; "ready" goes to stderr.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2] / "unit/pxe/dhcp"))

from dhcp_house import House

from pxe.dhcp.ports import Host, Lease
from pxe.dhcp.server import DhcpConfig, DhcpServer
from pxe.dhcp.subnet import build_subnet


class Recorder(House):
    """Tells each commit and event."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.file = Path(path).open("a", buffering=1)  # noqa: SIM115 - for as long as the process lives

    def commit(self, batch: Sequence[Lease]) -> None:
        super().commit(batch)
        for lease in batch:
            row = {
                "lease": str(lease.address),
                "mac": lease.mac,
                "state": lease.state,
                "host": lease.hostname,
            }
            self.file.write(json.dumps(row) + "\n")
        os.fdatasync(self.file.fileno())

    def record(self, mac: str, kind: str, text: str, data: Mapping[str, Any] | None = None) -> None:
        self.file.write(
            json.dumps({"event": kind, "mac": mac, "text": text, "data": dict(data or {})}) + "\n"
        )


async def main(interface: str, table: str, state: str, *reserved: str) -> None:
    house = Recorder(state)
    for item in reserved:
        mac, _, address = item.partition("=")
        house.hosts[mac] = Host("reserved-one", IPv4Address(address))
    subnet = build_subnet(json.loads(table))
    more = {"probe_seconds": 0, **json.loads(os.environ.get("DHCP_SERVE", "{}"))}
    server = DhcpServer(
        DhcpConfig((interface,), (subnet,), "cluster.test", **more), house, house, house, house
    )
    await server.start()
    print("ready", file=sys.stderr, flush=True)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await stop.wait()
    await server.close()
    print(server.counters, file=sys.stderr)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
