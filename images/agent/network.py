"""Brings up the network on the card that the machine booted from, and says on the console what it waits for.

The card is named by MAC on the kernel's command line; names are for people. busybox udhcpc keeps the lease
alive for as long as we run. The law: a machine without link or server waits and says so; it never gives up.
Python 3.8, standard library only.
"""

from __future__ import annotations

import fcntl
import socket
import struct
import subprocess
import time
from pathlib import Path
from typing import Callable

NET = Path("/sys/class/net")
SCRIPT = "/usr/lib/bootsrv/udhcpc.script"
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1
CARD_PATIENCE = 20.0  # seconds for a driver to show the card, before we say so
LINK_PATIENCE = 8.0
LEASE_PATIENCE = 30.0
TICK = 0.05  # seconds between two looks
Status = Callable[[str], None]


def connect(mac: str | None, status: Status) -> str:
    """Waits until a card has an address; returns "eth0 10.77.0.100/24".

    `mac` None: the first card with link.
    """
    while True:
        name = _wait_for_card(mac, status)
        set_up(name)
        if not _wait_for_link(name):
            status(f"{name} ({mac or 'any'}) has no link: check the cable and the switch port")
        address = _lease(name, mac is not None, status)
        if address:
            return f"{name} {address}"


def _lease(name: str, only_card: bool, status: Status) -> str | None:
    """Asks until there is an address; None when the client died, or another card may be the better one."""
    leased = Path(f"/run/net.{name}")
    if leased.exists():
        leased.unlink()
    # Three tries two seconds apart, then again after five.
    command = ["busybox", "udhcpc", "-f", "-i", name, "-s", SCRIPT, "-t", "3", "-T", "2", "-A", "5"]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    end = time.monotonic() + LEASE_PATIENCE
    while not leased.exists():
        time.sleep(TICK)
        if process.poll() is None and time.monotonic() < end:
            continue
        end = time.monotonic() + LEASE_PATIENCE
        link = _carrier(name)
        status(f"{name}{'' if link else ' (no link)'}: no address from any DHCP server yet; still asking")
        if process.poll() is not None or not (only_card or link):
            process.kill()
            process.wait()
            time.sleep(1)
            return None
    return leased.read_text().split()[0]


def _wait_for_card(mac: str | None, status: Status) -> str:
    end = time.monotonic() + CARD_PATIENCE
    while True:
        found = [n for n in cards() if mac is None or _address(n) == mac]
        if found:
            return next((n for n in found if _carrier(n)), found[0])
        if time.monotonic() > end:
            end = time.monotonic() + CARD_PATIENCE
            names = ", ".join(f"{n} {_address(n)}" for n in cards()) or "none"
            status(f"no driver has brought up network card {mac or ''}; cards here: {names}")
        time.sleep(TICK)


def _wait_for_link(name: str) -> bool:
    end = time.monotonic() + LINK_PATIENCE
    while not _carrier(name):
        if time.monotonic() > end:
            return False
        time.sleep(TICK)
    return True


def cards() -> list[str]:
    """Names of the cards with hardware behind them."""
    return sorted(p.name for p in NET.iterdir() if (p / "device").exists()) if NET.is_dir() else []


def set_up(name: str) -> None:
    """`ip link set NAME up` without a process. Raises OSError."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as handle:
        raw = fcntl.ioctl(handle, SIOCGIFFLAGS, struct.pack("16sH14x", name.encode(), 0))
        flags = struct.unpack_from("16sH", raw)[1]
        fcntl.ioctl(handle, SIOCSIFFLAGS, struct.pack("16sH14x", name.encode(), flags | IFF_UP))


def _carrier(name: str) -> bool:
    try:
        return (NET / name / "carrier").read_text().strip() == "1"
    except OSError:  # a card that is down answers EINVAL
        return False


def _address(name: str) -> str:
    try:
        return (NET / name / "address").read_text().strip().lower()
    except OSError:
        return ""
