"""Machines without a management controller: woken by a magic packet, shut down by their own system.

Wake-on-LAN works where the firmware allows it; whether it did, nobody is told. Switching off needs a running
system that this server imaged, for its host key is known then.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from ipaddress import IPv4Address

from bootsrv.errors import BootsrvError
from bootsrv.remote import Remote

WAKE_PORT = 9  # discard
REPEATS = 3


def magic_packet(mac: str) -> bytes:
    """Six times 0xFF, then the MAC sixteen times (AMD's Magic Packet paper, 20213)."""
    return b"\xff" * 6 + bytes.fromhex(mac.replace(":", "")) * 16


class Bare:
    """A `Switch` for a machine with nothing but a network card. `remote` makes its way in, or raises."""

    def __init__(
        self, name: str, macs: Sequence[str], broadcasts: Sequence[IPv4Address], remote: Callable[[], Remote]
    ) -> None:
        self._name, self._macs, self._broadcasts, self._remote = name, macs, broadcasts, remote

    def is_on(self) -> bool | None:
        return None

    def on(self) -> None:
        if not self._macs:
            raise BootsrvError(f"{self._name} has no MAC yet that it could be woken by")
        if not self._broadcasts:
            raise BootsrvError(f"{self._name}: no subnet of this server to wake it on; give it a controller")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            for address in self._broadcasts:
                for mac in self._macs:
                    for _ in range(REPEATS):
                        sender.sendto(magic_packet(mac), (str(address), WAKE_PORT))

    def off(self, hard: bool) -> None:
        if hard:
            raise BootsrvError(f"{self._name} has no controller that could cut its power; leave --hard out")
        self._remote().command(["systemctl", "poweroff"])

    def cycle(self) -> None:
        self._remote().command(["systemctl", "reboot"])

    def network_next(self) -> None:
        raise BootsrvError(f"{self._name} has no controller that could choose its boot device")
