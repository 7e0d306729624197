"""How long DISCOVER -> OFFER takes, seen from a relay in a network namespace: each one timed by itself, since
perfdhcp tells averages only."""

from __future__ import annotations

import ctypes
import select
import socket
import threading
import time
from collections.abc import Callable
from ipaddress import IPv4Address
from pathlib import Path

from pxe.dhcp import wire
from pxe.dhcp.wire import Packet
from pxe.errors import WireError

CLONE_NEWNET = 0x40000000


def inside(namespace: str, address: str, port: int) -> socket.socket:
    """A UDP socket in another network namespace: a thread may be in one of its own."""
    made: list[socket.socket] = []

    def enter() -> None:
        with Path("/run/netns", namespace).open() as there:
            if ctypes.CDLL(None, use_errno=True).setns(there.fileno(), CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "setns")
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind((address, port))
        made.append(sock)

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    return made[0]


def offers(
    namespace: str, relay: str, server: str, macs: list[bytes], rate: float, options: dict[int, bytes]
) -> list[float]:
    """Seconds from each DISCOVER to its OFFER, sorted; of each MAC one, `rate` of them a second. A lost one
    counts as endless."""
    taken: dict[int, float] = {}
    sent: dict[int, float] = {}
    with inside(namespace, relay, 67) as sock:
        sock.setblocking(False)
        began = time.perf_counter()
        for number, mac in enumerate(macs):
            packet = Packet(
                xid=number, hops=1, chaddr=mac, giaddr=IPv4Address(relay), options={53: b"\1", **options}
            )
            data = wire.build(packet)
            _hear(sock, sent, taken, lambda at=began + number / rate: time.perf_counter() >= at)
            sent[number] = time.perf_counter()
            sock.sendto(data, (server, 67))
        ends = time.perf_counter() + 2
        _hear(sock, sent, taken, lambda: len(taken) == len(macs) or time.perf_counter() >= ends)
    return sorted(taken.get(number, float("inf")) for number in range(len(macs)))


def _hear(
    sock: socket.socket, sent: dict[int, float], taken: dict[int, float], enough: Callable[[], bool]
) -> None:
    while not enough():
        if not select.select([sock], [], [], 0.0005)[0]:
            continue
        now = time.perf_counter()
        try:
            offer = wire.parse(sock.recv(2000))
        except (BlockingIOError, WireError):
            continue
        if offer.xid in sent and offer.options.get(53) == b"\2":
            taken.setdefault(offer.xid, now - sent[offer.xid])


def at_share(times: list[float], share: float) -> float:
    """The time below which this share of them is, in milliseconds."""
    return round(times[min(int(len(times) * share), len(times) - 1)] * 1000, 3)
