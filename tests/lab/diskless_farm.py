"""Machines without disks in a lab of their own: adding them, booting them, asking them."""

from __future__ import annotations

import time
from dataclasses import dataclass

from bootsrv.appliance.appliance import Appliance
from bootsrv.config import load
from bootsrv.lab.firmware import Firmware
from bootsrv.lab.lab import Lab
from bootsrv.lab.machine import Machine
from bootsrv.model import Event, Node

BOOT_SECONDS = 400.0
FIRST = 21  # of the addresses


@dataclass(frozen=True)
class Guest:
    """One machine and the node it is."""

    name: str
    address: str
    machine: Machine


class Farm:
    """A lab with its service, and the verbs of an administrator."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.verbs = Appliance.open(load(lab.service.config))
        self.guests: list[Guest] = []

    def add(
        self, firmware: Firmware, root: str, *more: str, image: str = "debian", memory: int = 896
    ) -> Guest:
        """A registered diskless node, off."""
        number = len(self.guests)
        guest = Guest(
            f"d{number + 1}", f"10.77.0.{FIRST + number}", self.lab.add(firmware, memory=memory, disk=0)
        )
        self.guests.append(guest)
        self.lab.service.cli(
            "node", "add", guest.name, "--mac", guest.machine.spec.mac, "--address", guest.address,
            "--image", image, "--mode", "diskless", "--root", root, *more,
        )  # fmt: skip
        return guest

    def node(self, guest: Guest) -> Node:
        return self.verbs.nodes.show(guest.name)

    def now(self) -> int:
        """The newest event's id, to look on from."""
        return self.verbs.watch.last_event()

    def home(self, guest: Guest, since: int, seconds: float = BOOT_SECONDS) -> Event:
        """Wait until it has called home after event `since`."""
        return self.event(guest, "home", since, seconds)

    def event(self, guest: Guest, kind: str, since: int, seconds: float = BOOT_SECONDS) -> Event:
        """Wait for an event of that kind; fails with the console's last lines."""
        deadline = time.monotonic() + seconds
        while True:
            found = self.verbs.watch.events(since, 2000, self.node(guest))
            for event in found:
                if event.kind == kind:
                    return event
            said = [event.text for event in found][-3:]
            assert time.monotonic() < deadline, (
                f"{guest.name} never told {kind} in {seconds:.0f} s ({said}):\n"
                f"{guest.machine.console.tail(30)}"
            )
            time.sleep(0.5)

    def room(self, guest: Guest, seconds: float = 60.0) -> int:
        """Bytes that its write layer holds, as the machine itself told it."""
        deadline = time.monotonic() + seconds
        while (room := self.lab.service.listing("node", "show", guest.name)["room"]) is None:
            assert time.monotonic() < deadline, f"{guest.name} never told how full its write layer is"
            time.sleep(1.0)
        return int(room["size"])

    def ask(self, guest: Guest, command: str, timeout: float = 90.0) -> str:
        """What a command prints there, as root over SSH."""
        return self.lab.service.ssh.run(guest.address, command, timeout=timeout).strip()

    def again(self, guest: Guest) -> Event:
        """Switch it off and on; its call home."""
        self.ask(guest, "sync")
        since = self.now()
        guest.machine.cut()
        guest.machine.on()
        return self.home(guest, since)
