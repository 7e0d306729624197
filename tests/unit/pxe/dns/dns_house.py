"""A small cluster's names, and a DnsServer on loopback for tests."""

from __future__ import annotations

import asyncio
import threading
from ipaddress import ip_address, ip_network
from typing import Any

from pxe.dns.ports import Record
from pxe.dns.server import DnsServer, Listen
from pxe.dns.zone import Zones

ZONES = Zones("cluster.test", "boot.cluster.test", (ip_network("10.77.0.0/22"), ip_network("fd00:77::/64")))


class Hosts:
    """pxe.dns.ports.Names over a dict."""

    def __init__(self) -> None:
        self.serial = 1
        self.names = {
            "boot.cluster.test": [Record("A", "10.77.0.1")],
            "n1.cluster.test": [Record("A", "10.77.0.11"), Record("AAAA", "fd00:77::11")],
            "n2.cluster.test": [Record("A", "10.77.1.12", ttl=5)],
            "www.cluster.test": [Record("CNAME", "N1.cluster.test")],
            "dead.cluster.test": [Record("CNAME", "none.cluster.test")],
            "away.cluster.test": [Record("CNAME", "example.org")],
            "loop.cluster.test": [Record("CNAME", "loop.cluster.test")],
            "_tcp.cluster.test": [],
            "_http._tcp.cluster.test": [Record("SRV", "0 5 8080 boot.cluster.test")],
            "big.cluster.test": [Record("TXT", f"{i:03}" + "x" * 250) for i in range(20)],
        }
        self.asked = 0

    def revision(self) -> int:
        return self.serial

    def lookup(self, name: str) -> list[Record] | None:
        self.asked += 1
        return self.names.get(name)

    def pointer(self, address: Any) -> str | None:
        wanted = {str(address)}
        for name, records in self.names.items():
            if wanted & {record.data for record in records if record.type in ("A", "AAAA")}:
                return name
        return None


class DnsHouse:
    """A server on 127.0.0.1 and wildcards, on a loop in its own thread."""

    def __init__(self, servers: list[tuple[str, int]] | None = None) -> None:
        self.hosts = Hosts()
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()
        self.server = DnsServer(ZONES, self.hosts, servers or [])
        self.do(self.server.start([Listen("127.0.0.1", 0), Listen("0.0.0.0", 0), Listen("::", 0)]))
        self.port, self.any, self.any6 = (port for _, port in self.server.bound)

    def do(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(20)

    def close(self) -> None:
        self.do(self.server.close())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(5)
        self.loop.close()


ADDRESS = ip_address("10.77.0.11")
