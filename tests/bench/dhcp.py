"""How fast the DHCP decision is, without a network: python tests/bench/dhcp.py [CLIENTS] [REGISTERED]

Prints one JSON object: exchanges (DISCOVER, OFFER, REQUEST, ACK) a second on one core, microseconds per
packet by step, the 99th percentile of DISCOVER -> OFFER, and memory. Batches are committed to SQLite with
fdatasync when `--disk FILE` is given.
"""

from __future__ import annotations

import argparse
import json
import resource
import sqlite3
import time
from collections.abc import Iterable, Mapping, Sequence
from ipaddress import IPv4Address, IPv4Interface
from typing import Any

from pxe.dhcp import wire
from pxe.dhcp.ports import BootFile, Client, Host, Lease
from pxe.dhcp.replies import ESSENTIAL
from pxe.dhcp.responder import Responder
from pxe.dhcp.subnet import build_subnet
from pxe.dhcp.wire import Packet
from pxe.dhcp.zones import Arrival

SUBNET = {
    "cidr": "10.0.0.0/8",
    "mode": "authoritative",
    "pools": ["10.1.0.0-10.9.255.255"],
    "routers": ["10.0.0.1"],
    "options": {"domain-name-servers": ["10.0.0.1"], "ntp-servers": ["10.0.0.1"]},
}
BATCH = 64


class Registry:
    """Hosts by MAC in memory, and leases in SQLite if asked for."""

    def __init__(self, registered: int, disk: str | None) -> None:
        self.hosts = {mac_text(n): Host(f"n{n}", IPv4Address(0x0A640000 + n)) for n in range(registered)}
        self.addresses = {host.address for host in self.hosts.values()}
        self.db = sqlite3.connect(disk) if disk else None
        if self.db is not None:
            self.db.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;")
            self.db.execute(
                "CREATE TABLE IF NOT EXISTS leases(address INTEGER PRIMARY KEY, mac TEXT, expires REAL)"
            )

    def look(self) -> None:
        pass

    def rushed(self) -> bool:
        return False

    def find(self, client: Client) -> Host | None:
        return self.hosts.get(client.mac)

    def reserved(self, address: IPv4Address) -> bool:
        return address in self.addresses

    def named(self, name: str) -> bool:
        return False

    def decide(self, client: Client, server: IPv4Address) -> BootFile | None:
        return BootFile("snponly.efi", server)

    def load(self) -> Iterable[Lease]:
        return ()

    def taken_back(self) -> Iterable[IPv4Address]:
        return ()

    def commit(self, batch: Sequence[Lease]) -> None:
        if self.db is not None:
            rows = [(int(lease.address), lease.mac, lease.expires) for lease in batch]
            with self.db:
                self.db.executemany("REPLACE INTO leases VALUES (?, ?, ?)", rows)

    def record(self, mac: str, kind: str, text: str, data: Mapping[str, Any] | None = None) -> None:
        pass


def mac(n: int) -> bytes:
    return b"\x52\x54" + n.to_bytes(4, "big")


def mac_text(n: int) -> str:
    return mac(n).hex(":")


FIRMWARE = {
    55: bytes(
        (1, 2, 3, 4, 5, 6, 12, 13, 15, 17, 18, 22, 23, 28, 40, 41, 42, 43, 50, 51, 54, 58, 59, 60, 66, 67, 97)
    ),
    57: b"\x05\xc0",
    60: b"PXEClient:Arch:00007:UNDI:003016",
    93: b"\0\7",
    94: b"\1\3\x10",
    97: b"\0" + bytes(range(16)),
}


def measure(clients: int, registered: int, disk: str | None) -> dict[str, float]:
    """One full exchange for each client; every packet parsed and built."""
    registry = Registry(registered, disk)
    responder = Responder([build_subnet(SUBNET)], "cluster.test", registry, registry)
    arrival = Arrival("br0", (IPv4Interface("10.0.0.1/8"),))
    spent = {"discover": 0.0, "request": 0.0, "commit": 0.0}
    slowest: list[float] = []
    for first in range(0, clients, BATCH):
        batch = range(first, min(first + BATCH, clients))
        asks = [wire.build(Packet(xid=n, chaddr=mac(n), options={53: b"\1", **FIRMWARE})) for n in batch]
        offers = []
        for data in asks:
            began = time.perf_counter()
            out = responder.handle(wire.parse(data), arrival, 1.7e9)
            built, _dropped = wire.build_fitting(out.replies[0].packet, out.replies[0].limit, ESSENTIAL)
            slowest.append(time.perf_counter() - began)
            spent["discover"] += slowest[-1]
            offers.append(wire.parse(built))
        takes = [
            wire.build(
                Packet(
                    xid=offer.xid,
                    chaddr=offer.chaddr,
                    options={53: b"\3", 50: offer.yiaddr.packed, 54: offer.options[54], **FIRMWARE},
                )
            )
            for offer in offers
        ]
        changes = []
        began = time.perf_counter()
        for data in takes:
            out = responder.handle(wire.parse(data), arrival, 1.7e9)
            wire.build_fitting(out.replies[0].packet, out.replies[0].limit, ESSENTIAL)
            changes += [change.lease for change in out.changes]
        between = time.perf_counter()
        registry.commit(changes)
        spent["request"] += between - began
        spent["commit"] += time.perf_counter() - between
        assert len(changes) == len(batch)
    slowest.sort()
    return {
        "exchanges_per_second": round(clients / sum(spent.values())),
        "discover_us": round(spent["discover"] / clients * 1e6, 1),
        "request_us": round(spent["request"] / clients * 1e6, 1),
        "commit_us": round(spent["commit"] / clients * 1e6, 1),
        "offer_p99_us": round(slowest[int(len(slowest) * 0.99)] * 1e6, 1),
        "memory_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("clients", type=int, nargs="?", default=20_000)
    parser.add_argument("registered", type=int, nargs="?", default=10_000)
    parser.add_argument("--disk", help="an SQLite file to commit leases to")
    arguments = parser.parse_args()
    print(json.dumps(measure(arguments.clients, arguments.registered, arguments.disk)))
