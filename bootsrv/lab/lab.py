"""A whole lab: namespace, service, virtual machines, and a door for the host's browser.

    with Lab() as lab:
        lab.service.start()
        machine = lab.add(Firmware.UEFI)
        machine.on()

Everything that runs vanishes with the process that made the lab. Its files are in one directory below
/var/tmp, removed at the end; a lab that was killed leaves that directory, and the next lab sweeps it away.
"""

from __future__ import annotations

import fcntl
import shutil
import tempfile
from pathlib import Path
from types import TracebackType

from bootsrv.lab.firmware import Firmware, check_tools
from bootsrv.lab.forward import Forwarder
from bootsrv.lab.machine import Machine, MachineSpec
from bootsrv.lab.namespace import Namespace
from bootsrv.lab.service import Service

PLACE = Path("/var/tmp")  # noqa: S108  # disks of gigabytes: not /tmp, which is memory on Debian 13
PREFIX = "bootsrv-lab-"


class Lab:
    """A context manager. Make it in a thread that lives as long as the lab (see `namespace`)."""

    def __init__(self, place: Path = PLACE) -> None:
        """Raises LabError when this host cannot hold a lab."""
        sweep(place)
        self.home = Path(tempfile.mkdtemp(prefix=PREFIX, dir=place))
        self.home.chmod(0o755)  # the service runs as a user of its own
        self._lock = (self.home / "lock").open("w")
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        self.machines: list[Machine] = []
        self._doors: list[Forwarder] = []
        try:
            self.namespace = Namespace()
        except BaseException:
            self._remove()
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
        self._remove()

    def _remove(self) -> None:
        shutil.rmtree(self.home, ignore_errors=True)
        self._lock.close()

    def __enter__(self) -> Lab:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def sweep(place: Path = PLACE) -> list[Path]:
    """Remove what killed labs left: directories whose lock nobody holds. Returns them."""
    swept = []
    for home in sorted(place.glob(f"{PREFIX}*")):
        try:
            with (home / "lock").open("r") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, FileNotFoundError):
            continue  # in use, or being made or removed right now
        shutil.rmtree(home, ignore_errors=True)
        swept.append(home)
    return swept
