"""Two labs full of real firmware that boots to the point where ours begins, all machines at once.

In one we give the addresses; in the other dnsmasq does, and we only add what to boot. There is no imager, so
a machine that got its script stays there and waits, which costs nothing; it is switched off once it has shown
what it must.
"""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from neighbour import Neighbour, dnsmasq
from scapy.layers.inet import UDP
from scapy.utils import PcapReader

from bootsrv.appliance.appliance import Appliance
from bootsrv.config import load
from bootsrv.lab.capture import Capture
from bootsrv.lab.firmware import Firmware
from bootsrv.lab.lab import Lab
from bootsrv.lab.machine import Machine
from bootsrv.model import Event
from bootsrv.payloads import default_dir

# Package files -> where they lie below public/, and so what machines ask for.
THEIRS = {
    "/usr/lib/PXELINUX/pxelinux.0": "pxelinux.0",
    "/usr/lib/syslinux/modules/bios/ldlinux.c32": "ldlinux.c32",
    "/usr/lib/shim/shimx64.efi.signed": "shimx64.efi",
    "/usr/lib/grub/x86_64-efi-signed/grubnetx64.efi.signed": "grubx64.efi",
}
GRUB_MODULES = "/usr/lib/grub/x86_64-efi"
OURS = {
    "pxelinux.cfg/default": "SERIAL 0 115200\nSAY pxelinux read its file\nPROMPT 1\nTIMEOUT 0\n",
    # The signed GRUB has no HTTP inside, and loads no module under Secure Boot.
    "grub/grub.cfg": """
echo grub came by tftp
if [ "$lockdown" != y ]; then configfile (http,10.77.0.1:8080)/public/grub/more.cfg; fi
sleep 600
""",
    "grub/more.cfg": "echo grub went on by http\nsleep 600\n",
}


class Floor:
    """One lab with its service, and what the flight recorder has of its machines."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        payload, public = lab.home / "payload", lab.service.data / "public"
        payload.mkdir()
        shutil.copytree(default_dir() / "loaders", payload / "loaders")
        for source, name in THEIRS.items():
            self.put(public / name, Path(source).read_bytes())
        for name, text in OURS.items():
            self.put(public / name, text.encode())
        subprocess.run(
            ["grub-mknetdir", f"--net-directory={public}", "--subdir=grub", f"--directory={GRUB_MODULES}"],
            check=True, capture_output=True, timeout=60,
        )  # fmt: skip
        self.configure("data_dir =", f'payload_dir = "{payload}"\ndata_dir =')
        self.other: Neighbour | None = None

    @staticmethod
    def put(path: Path, data: bytes) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    def configure(self, old: str, new: str) -> None:
        text = self.lab.service.config.read_text()
        assert old in text
        self.lab.service.config.write_text(text.replace(old, new, 1))

    def beside_another_server(self) -> None:
        """dnsmasq gives the addresses."""
        self.configure('mode = "authoritative"', 'mode = "proxy"')
        self.other = dnsmasq(self.lab.namespace, self.lab.home)

    def start(self) -> None:
        self.lab.service.start()
        self.verbs = Appliance.open(load(self.lab.service.config))
        self.capture = Capture(self.lab.namespace, self.lab.home / "wire.pcap")

    def asked(self, port: int = 67) -> set[str]:
        """The MACs that sent something to this UDP port, as a stranger reads the capture."""
        frames = PcapReader(str(self.capture.path))
        return {frame.src for frame in frames if UDP in frame and frame[UDP].dport == port}

    def add(self, name: str, firmware: Firmware, boot_file: str = "", profile: str = "") -> Machine:
        """A machine that is switched on: unknown to us, or registered with a boot file of its own; with a
        profile it is to be installed."""
        machine = self.lab.add(firmware, memory=384, disk=0, name=name)
        cli = self.lab.service.cli
        if boot_file:
            option = f"bootfile-name={boot_file}"
            cli("node", "add", name, "--mac", machine.spec.mac, "--option", option)
        if profile:
            self.verbs.profiles.save(name, profile, "lab")
            cli("install", name, "--profile", name)
        machine.on()
        return machine

    def ubuntu(self, name: str) -> None:
        """A tree that looks like Ubuntu's medium, with a kernel that starts and nothing behind it."""
        medium = self.lab.home / name
        self.put(medium / ".disk/info", b'Ubuntu-Server 24.04.1 LTS "Noble Numbat" - Release amd64\n')
        self.put(medium / "casper/vmlinuz", (default_dir() / "imager/vmlinuz").read_bytes())
        self.put(medium / "casper/initrd", b"not one")
        self.lab.service.cli("tree", "import", str(medium), "--name", name)

    def events(self, machine: Machine) -> list[Event]:
        """What is on record about a machine, oldest first."""
        node = self.verbs.registry.nodes.by_mac(machine.spec.mac)
        return [] if node is None else self.verbs.watch.events(0, 500, node)

    def pause(self, machine: Machine, kind: str) -> float:
        """Seconds from the first event of this kind to the first file that was asked for after it."""
        found = self.events(machine)
        start = next(place for place, event in enumerate(found) if event.kind == kind)
        end = next(event for event in found[start:] if event.kind.startswith(("tftp.", "http.")))
        return end.at - found[start].at

    def is_old(self, machine: Machine) -> bool:
        """Whether its ROM holds an iPXE too old for HTTP: Debian 12's is of 2019, Debian 13's of 2025."""
        found = next(event for event in self.events(machine) if event.kind == "dhcp.discover")
        return bool(found.data["stage"] == "old-ipxe")

    def until(self, machine: Machine, done: Callable[[list[str]], bool], what: str) -> list[str]:
        """The record as lines `KIND TEXT`, once it satisfies `done`."""
        ends = time.monotonic() + 240
        while not done(lines := [f"{event.kind} {event.text}" for event in self.events(machine)]):
            assert machine.is_on() and time.monotonic() < ends, (
                f"{machine.spec.name} never {what}:\n{machine.console.tail(25)}\n" + "\n".join(lines)
            )
            time.sleep(0.2)
        return lines

    def until_script(self, machine: Machine) -> list[str]:
        """The record up to the script; the machine is off then."""

        def scripted(lines: list[str]) -> bool:
            return "http.done boot script sent" in lines

        lines = self.until(machine, scripted, "got its script")
        machine.cut()
        return lines[: lines.index("http.done boot script sent") + 1]


def order(lines: list[str], *starts: str) -> None:
    """The record has lines that begin like this, in this order."""
    at = 0
    for start in starts:
        found = next((n for n, line in enumerate(lines[at:], at) if line.startswith(start)), None)
        assert found is not None, f"no {start!r} after line {at} of\n" + "\n".join(lines)
        at = found + 1
