"""A lab in which machines are installed by Debian's own installer: a server with its tree, its archive and a
profile. Machines and server have no way out of it.
"""

from __future__ import annotations

import shutil
import sys
import time
from pathlib import Path
from typing import Any

from debian_larder import Stock, larder
from debian_upstream import Upstream

from bootsrv.appliance.appliance import Appliance
from bootsrv.config import load
from bootsrv.lab.firmware import Firmware
from bootsrv.lab.lab import Lab
from bootsrv.lab.machine import Machine
from bootsrv.model import Event, Node, NodeState

KEPT = Path(sys.prefix) / "share" / "bootsrv"
ADDRESS = "10.77.0.11"
BASIC = """\
target = "debian13"
language = "en_US.UTF-8"
timezone = "Europe/Prague"
no_ntp = true

[source]
url = "http://10.77.0.1:8080/mirror/debian/"

[[scripts]]
when = "pre"            # the lab's archive is a part of Debian's, with an index and a key of its own
snippet = "archive-key"
with = { url = "http://10.77.0.1:8080/mirror/debian" }
"""
# Where an answer is missing, d-i's text front end says so and waits.
QUESTION = "Prompt: '?' for help"


def when(said: str, commands: str) -> str:
    """A script of the profile's: sends what `commands` print, once the installer's log has `said`."""
    return f"""
[[scripts]]
when = "pre"
text = '''
{{
until grep -q "{said}" /var/log/syslog; do sleep 1; done
{{ {commands}; }} > /tmp/told 2>&1
url=$(tr ' ' '\\n' < /proc/cmdline | sed -n 's/^url=//p')
wget -q -O /dev/null --post-file=/tmp/told "${{url%/*}}/tell/log"
}} </dev/null >/dev/null 2>&1 3>&- &
'''
"""


class Field:
    """A lab with a server that has a tree, a mirror and a profile."""

    def __init__(self, lab: Lab, name: str, stock: Stock) -> None:
        """`name`: of the archive, which is kept for the next run."""
        self.lab, self.kept = lab, KEPT / name
        self.upstream = Upstream(lab.namespace, larder(self.kept, stock))
        with lab.service.config.open("a") as config:
            config.write(f'\n[mirrors.debian]\nupstream = "{self.upstream.url}"\n')
        lab.service.cli("tree", "import", str(self.kept / "installer"), "--name", "trixie")
        lab.service.start()
        self.verbs = Appliance.open(load(lab.service.config))

    def started(self, firmware: Firmware, profile: str, **spec: Any) -> Machine:
        """A machine, as `Lab.add` makes it, that is being installed by this profile."""
        made = self.armed(firmware, profile, **spec)
        made.on()
        return made

    def armed(self, firmware: Firmware, profile: str, **spec: Any) -> Machine:
        """The same, off."""
        self.verbs.profiles.save("debian", profile, "lab")
        made = self.lab.add(firmware, **spec)
        options = self.signed_loader() if firmware is Firmware.UEFI_SECURE else []
        self.lab.service.cli("node", "add", "n1", "--mac", made.spec.mac, "--address", ADDRESS,
                             "--profile", "debian", *options)  # fmt: skip
        self.lab.service.cli("install", "n1")
        return made

    def signed_loader(self) -> list[str]:
        """Debian's shim and GRUB, as its netboot package has them, become the machine's own boot file."""
        public = self.lab.service.data / "public" / "debian"
        public.mkdir(parents=True)
        for name in ("bootnetx64.efi", "grubx64.efi"):
            shutil.copy(self.kept / "installer/debian-installer/amd64" / name, public)
        return ["--option", "bootfile-name=debian/bootnetx64.efi"]

    def node(self) -> Node:
        return self.verbs.nodes.show("n1")

    def events(self, kind: str = "") -> list[Event]:
        return [one for one in self.verbs.watch.events(0, 100_000, self.node()) if one.kind.startswith(kind)]

    def wait(self, machine: Machine, kind: str, text: str, seconds: float) -> Event:
        """For an event; a failure or a question is the end of it."""
        ends = time.monotonic() + seconds
        while True:
            found = [one for one in self.events(kind) if text in one.text]
            if found:
                return found[0]
            said, log = machine.console.tail(40), self.log()[-3000:]
            assert QUESTION not in said, f"the installer asked:\n{said}"
            assert self.node().state is not NodeState.FAILED, f"{self.node().error}:\n{log}\n{said}"
            assert machine.is_on() and time.monotonic() < ends, (
                f"no {kind} {text} in {seconds:.0f} s; {[one.text for one in self.events('install')]}\n"
                f"{log}\n{said}"
            )
            time.sleep(1)

    def log(self) -> str:
        """What the installer said over the network."""
        return "".join(text for _, text in self.verbs.watch.log(self.node()))
