"""One virtual machine of the lab: QEMU with real firmware, a tap on the lab's bridge and a blank disk.

A machine is a thing with a power button: `on`, `off`, `reset`, and `cut` for a power failure. Its disk and
its UEFI variables stay when it is off. The network card comes first in its boot order and the disk second, as
in a machine room where every boot asks the server first.
"""

from __future__ import annotations

import os
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

from bootsrv.lab import qmp
from bootsrv.lab.console import Console
from bootsrv.lab.errors import LabError, LabTimeout
from bootsrv.lab.firmware import QEMU, Firmware, accelerator, arguments, nic_rom
from bootsrv.lab.namespace import Inside, Namespace

MIB = 1024 * 1024
_DISKS = {"virtio": "virtio-blk-pci", "usb": "usb-storage"}


@dataclass(frozen=True, slots=True)
class MachineSpec:
    """What to build. Sizes in MiB; `disk` 0 means a machine without a disk; their `bus`: virtio or usb."""

    name: str
    mac: str
    firmware: Firmware = Firmware.BIOS
    memory: int = 1024
    disk: int = 4096
    cpus: int = 1
    nic: str = "virtio-net-pci"
    bus: str = "virtio"
    disks: int = 1  # all of that size; it boots from the first

    def serial(self) -> str:
        """The serial number that its firmware (DMI) and its disk report."""
        return f"LAB-{self.name.upper()}"


class Machine:
    """Built in `home` (made when missing); off until `on`."""

    def __init__(self, spec: MachineSpec, namespace: Namespace, home: Path) -> None:
        self.spec = spec
        self.home = home
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.console = Console(home / "console.log", self.is_on)
        self._namespace = namespace
        self._tap = namespace.add_tap()
        self._process: Inside | None = None
        self._qmp = home / "qmp"
        self.disk = home / "disk.raw"
        others = (home / f"disk{number}.raw" for number in range(2, spec.disks + 1))
        self.disks = (self.disk, *others) if spec.disk else ()
        for path in self.disks:
            make_blank(path, spec.disk)

    def is_on(self) -> bool:
        """Whether QEMU runs; a guest that powers itself off ends it."""
        return self._process is not None and self._process.poll() is None

    def on(self) -> None:
        """Press the power button. LabError when QEMU does not start."""
        if self.is_on():
            raise LabError(f"{self.spec.name} is on already")
        self._qmp.unlink(missing_ok=True)
        with (self.home / "qemu.log").open("ab") as log:
            self._process = self._namespace.spawn(self.command(), log)
        deadline = time.monotonic() + 10
        while not self._answers():
            if not self.is_on() or time.monotonic() > deadline:
                lines = (self.home / "qemu.log").read_text().strip().splitlines() or ["QEMU is silent"]
                raise LabError(f"{self.spec.name} does not start: {lines[-1]}")
            time.sleep(0.05)

    def off(self, timeout: float = 60.0) -> None:
        """Ask the system to shut down (ACPI) and wait; after `timeout` seconds take the power away."""
        if not self.is_on():
            return
        qmp.execute(self._qmp, "system_powerdown")
        try:
            self.wait_off(timeout)
        except LabTimeout:
            self.cut()

    def cut(self) -> None:
        """A power failure: nothing in the guest gets to say a word."""
        if self._process is not None:
            self._process.kill()

    def reset(self) -> None:
        """Press the reset button."""
        qmp.execute(self._qmp, "system_reset")

    def wait_off(self, timeout: float) -> None:
        """Wait until the machine has gone off by itself; LabTimeout after `timeout` seconds."""
        if self._process is not None:
            self._process.wait(timeout)

    def command(self) -> list[str]:
        """QEMU's command line. Everything lives in `home`; nothing listens on the network."""
        spec = self.spec
        command = [
            QEMU, "-name", spec.name, *accelerator(), *arguments(spec.firmware, self.home),
            "-m", str(spec.memory), "-smp", str(spec.cpus),
            "-nodefaults", "-display", "none", "-no-user-config",
            "-uuid", str(uuid.uuid5(uuid.NAMESPACE_OID, spec.mac)),
            "-smbios", f"type=1,manufacturer=bootsrv,product=lab,serial={spec.serial()}",
            "-chardev", f"socket,id=serial,path={self.home}/serial,server=on,wait=off,"
                        f"logfile={self.console.path},logappend=on",
            "-serial", "chardev:serial",
            "-qmp", f"unix:{self._qmp},server=on,wait=off",
            "-object", "rng-random,id=rng,filename=/dev/urandom", "-device", "virtio-rng-pci,rng=rng",
            "-netdev", f"tap,id=net,ifname={self._tap},script=no,downscript=no",
            "-device", f"{spec.nic},netdev=net,mac={spec.mac},bootindex=1{nic_rom(spec.firmware)}",
        ]  # fmt: skip
        command += ["-device", "qemu-xhci"] if spec.bus == "usb" else []
        for number, path in enumerate(self.disks):
            # cache=unsafe: QEMU never waits for the host's disk; the file still survives a cut.
            name, serial = path.stem, f"{spec.serial()}{f'-{number + 1}' if number else ''}"
            command += [
                "-drive", f"if=none,id={name},format=raw,cache=unsafe,discard=unmap,file={path}",
                "-device", f"{_DISKS[spec.bus]},drive={name},bootindex={number + 2},serial={serial}",
            ]  # fmt: skip
        return command

    def _answers(self) -> bool:
        try:
            qmp.execute(self._qmp, "query-status")
        except (FileNotFoundError, ConnectionRefusedError):
            return False
        return True


def make_blank(path: Path, size: int) -> None:
    """A sparse file of `size` MiB, empty whatever was there before."""
    with path.open("wb") as disk:
        os.truncate(disk.fileno(), size * MIB)
