"""A whole lab: namespace, service, virtual machines, and a door for the host's browser.

    with Lab() as lab:
        lab.service.start()
        machine = lab.add(Firmware.UEFI)
        machine.on()

Everything that runs vanishes with the process that made the lab. Its files are in one directory below
/var/tmp, removed at the end; a lab that was killed leaves that directory, and the next lab sweeps it away.
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

from bootsrv.lab.firmware import Firmware, check_tools
from bootsrv.lab.forward import Forwarder
from bootsrv.lab.machine import Machine, MachineSpec
from bootsrv.lab.namespace import Namespace
from bootsrv.lab.service import Service
from images.workplace import workplace

PLACE = Path("/var/tmp")  # noqa: S108  # disks of gigabytes: not /tmp, which is memory on Debian 13
KIND = "lab"  # of its directory: bootsrv-lab-...


class Lab:
    """A context manager. Make it in a thread that lives as long as the lab (see `namespace`)."""

    def __init__(self, place: Path = PLACE) -> None:
        """Raises LabError when this host cannot hold a lab."""
        self._place = ExitStack()
        self.home = self._place.enter_context(workplace(KIND, place))
        self.home.chmod(0o755)  # the service runs as a user of its own
        self.machines: list[Machine] = []
        self._doors: list[Forwarder] = []
        try:
            self.namespace = Namespace()
        except BaseException:
            self._place.close()
            raise
        self.service = Service(self.namespace, self.home)

    def add(
        self,
        firmware: Firmware = Firmware.BIOS,
        memory: int = 1024,
        disk: int = 4096,
        name: str | None = None,
        cpus: int = 1,
        bus: str = "virtio",
        disks: int = 1,
    ) -> Machine:
        """One more machine, off, with blank disks. `memory` and `disk` in MiB."""
        check_tools({firmware})
        number = len(self.machines) + 1
        mac = f"52:54:00:77:{number >> 8:02x}:{number & 255:02x}"
        spec = MachineSpec(name or f"vm{number}", mac, firmware, memory, disk, cpus, bus=bus, disks=disks)
        machine = Machine(spec, self.namespace, self.home / spec.name)
        self.machines.append(machine)
        return machine

    def open_door(self, port: int = 0) -> str:
        """Let the host's browser in; the URL it should open."""
        door = Forwarder(self.service.data / "run" / "http.sock", port)
        self._doors.append(door)
        return f"http://127.0.0.1:{door.port}/"

    def close(self) -> None:
        """Power off, end the service, remove everything. Idempotent."""
        for door in self._doors:
            door.close()
        self._doors.clear()
        self.namespace.close()  # takes machines and service along, all at once
        self._place.close()

    def __enter__(self) -> Lab:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
