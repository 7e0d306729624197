"""A real, unattended installation by Debian's own installer: from a blank disk to a log-in, by nothing but
our network boot, our answers and our mirror. The machine has no other way out.

The short one ends where partitions are written, and needs most of the answers; the whole one is slow.
"""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from debian_larder import larder
from debian_upstream import Upstream
from kept import keep

from bootsrv.appliance.appliance import Appliance
from bootsrv.config import load
from bootsrv.lab.firmware import Firmware
from bootsrv.lab.lab import Lab
from bootsrv.lab.machine import Machine
from bootsrv.model import Event, Node, NodeState

pytestmark = pytest.mark.lab
KEPT = Path(sys.prefix) / "share" / "bootsrv"
ADDRESS = "10.77.0.11"
PROFILE = """\
target = "debian13"
language = "en_US.UTF-8"
timezone = "Europe/Prague"
no_ntp = true

[source]
url = "http://10.77.0.1:8080/mirror/debian/"

[disks.automatic]
type = "plain"

[packages]
names = ["openssh-server"]
options = []

[[users]]
name = "ada"
full_name = "Ada Lovelace"
groups = ["sudo"]
keys = ["{key}"]

[[scripts]]
when = "pre"            # the lab's archive is a part of Debian's, with an index and a key of its own
snippet = "archive-key"
with = {{ url = "http://10.77.0.1:8080/mirror/debian" }}

[[scripts]]
when = "post"
text = "echo by the installer > /etc/post-was-here"

[[scripts]]
when = "first-boot"
text = "hostname -f > /etc/first-boot-was-here"
"""
# What the installer took of its answers, told when its menu comes to the partitions: it has saved them then.
TELLS = """
[[scripts]]
when = "pre"
text = '''
{
until grep -q "Menu item .partman-base. selected" /var/log/syslog; do sleep 1; done
cd /var/lib/cdebconf
sed -n '/^Name: /p; /^Value: /p' questions.dat passwords.dat > /tmp/taken
url=$(tr ' ' '\\n' < /proc/cmdline | sed -n 's/^url=//p')
wget -q -O /dev/null --post-file=/tmp/taken "${url%/*}/tell/log"
} </dev/null >/dev/null 2>&1 3>&- &
'''
"""
# The installer itself puts the card there that it has chosen.
CHANGED = frozenset(("netcfg/choose_interface",))
# Where an answer is missing, d-i's text front end says so and waits.
QUESTION = "Prompt: '?' for help"


class Field:
    """A lab with a server that has a tree, a mirror and a profile."""

    def __init__(self, lab: Lab, brief: bool) -> None:
        self.lab = lab
        self.brief, self.kept = brief, KEPT / ("lab-installer" if brief else "lab-debian")
        self.upstream = Upstream(lab.namespace, larder(self.kept, brief))
        with lab.service.config.open("a") as config:
            config.write(f'\n[mirrors.debian]\nupstream = "{self.upstream.url}"\n')
        lab.service.cli("tree", "import", str(self.kept / "installer"), "--name", "trixie")
        lab.service.start()
        self.verbs = Appliance.open(load(lab.service.config))
        profile = PROFILE.format(key=lab.service.ssh.public) + (TELLS if brief else "")
        self.verbs.profiles.save("debian", profile, "lab")

    def machine(self, firmware: Firmware) -> Machine:
        if self.brief:
            made = self.lab.add(firmware, memory=1024, disk=2048, bus="usb")
        else:
            made = self.lab.add(firmware, memory=2048, disk=6144, cpus=2)
        options = self.signed_loader() if firmware is Firmware.UEFI_SECURE else []
        self.lab.service.cli("node", "add", "n1", "--mac", made.spec.mac, "--address", ADDRESS,
                             "--profile", "debian", *options)  # fmt: skip
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


@pytest.fixture
def field(request: pytest.FixtureRequest) -> Iterator[Field]:
    with Lab() as lab:
        made = Field(lab, brief="partitions" in request.node.name)
        try:
            yield made
        finally:
            keep(lab)
            made.upstream.close()


def until(done: Callable[[], bool], seconds: float) -> None:
    ends = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < ends
        time.sleep(1)


def started(field: Field, firmware: Firmware) -> Machine:
    machine = field.machine(firmware)
    field.lab.service.cli("install", "n1")
    machine.on()
    return machine


def given(field: Field) -> dict[str, str]:
    """The answers of the node, by question; scripts aside, which have its token in them."""
    lines = field.verbs.profiles.render(field.node()).rendered.text.splitlines()
    answers = [line.split(" ", 3) for line in lines if " preseed/" not in line and " note" not in line]
    return {name: rest[0] if rest else "" for _, name, _, *rest in answers}


def taken(field: Field) -> dict[str, str]:
    """What the installer's debconf holds."""
    found: dict[str, str] = {}
    name = ""
    for line in field.log().splitlines():
        if line.startswith("Name: "):
            name = line.removeprefix("Name: ")
            found[name] = ""
        elif line.startswith("Value: ") and name:
            found[name] = line.removeprefix("Value: ")
    return found


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("firmware", [Firmware.BIOS, Firmware.UEFI_SECURE])
def test_the_installer_takes_all_answers_and_reaches_partitions(field: Field, firmware: Firmware) -> None:
    """With Secure Boot by Debian's own shim and GRUB, which starts Debian's signed kernel."""
    machine = started(field, firmware)
    field.wait(machine, "install.step", "partitions", 800)
    ends = time.monotonic() + 60
    while "Name: partman/confirm\n" not in field.log():
        assert time.monotonic() < ends, "the installer did not tell its answers"
        time.sleep(0.5)
    machine.cut()
    wanted, found = given(field), taken(field)
    assert len(wanted) > 30
    assert [(k, v, found.get(k)) for k, v in wanted.items() if found.get(k) != v and k not in CHANGED] == []
    assert field.node().state is NodeState.IMAGING and field.node().half_written
    handed = [one for one in field.events("install.started") if one.data["file"] == "preseed.cfg"]
    assert len(handed) == 1 and handed[0].data["address"] == ADDRESS
    assert "the installer has its answers and runs" in [one.text for one in field.events("install.step")]
    assert not field.events("alarm"), [one.text for one in field.events("alarm")]
    assert "anna" in field.log()


@pytest.mark.slow
@pytest.mark.timeout(4200)
@pytest.mark.parametrize("firmware", [Firmware.BIOS, Firmware.UEFI])
def test_from_a_blank_disk_to_a_log_in(field: Field, firmware: Firmware) -> None:
    machine = started(field, firmware)
    field.wait(machine, "install.done", "", 3600)
    assert field.node().state is NodeState.INSTALLED and field.node().armed is None
    field.wait(machine, "home", "", 500)
    assert field.node().state is NodeState.RUNNING
    machine.console.wait_for("n1 login: ", 300)

    def ask(*words: str) -> str:
        return field.lab.service.ssh.run(ADDRESS, *words).strip()

    assert ask("hostname -f") == "n1.cluster.test"
    assert ask("cat /etc/first-boot-was-here") == "n1.cluster.test"
    assert ask("cat /etc/post-was-here") == "by the installer"
    assert ask("id -nG ada").split() == ["ada", "sudo", "users"]
    assert field.lab.service.ssh.public in ask("cat /home/ada/.ssh/authorized_keys")
    assert ask("stat -c '%U %a' /home/ada/.ssh/authorized_keys") == "ada 600"
    assert ask("getent shadow root | cut -d: -f2") == "*"
    assert ask("readlink /etc/localtime").endswith("Europe/Prague")
    assert ask("test -d /sys/firmware/efi && echo uefi || echo bios") == firmware
    left = "ls /usr/local/sbin; ls /etc/systemd/system | grep bootsrv || true"
    until(lambda: ask(left) == "", 60)  # the one that called home takes itself away after that
    assert ask("systemctl --failed --no-legend") == ""
    assert any(path.endswith(".udeb") for path in field.upstream.asked)
    packages = {path: count for path, count in field.upstream.asked.items() if "/pool/" in path}
    assert set(packages.values()) == {1}, packages
