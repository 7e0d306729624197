"""A real, unattended installation by Debian's own installer: from a blank disk to a log-in, by nothing but
our network boot, our answers and our mirror. The machine has no other way out.

The short one ends where partitions are written, and needs most of the answers; by BIOS it is not slow.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest
from debian_larder import DISKS, NOTHING, WHOLE
from install_field import ADDRESS, BASIC, Field, when
from kept import keep

from bootsrv.lab.firmware import Firmware
from bootsrv.lab.lab import Lab
from bootsrv.lab.machine import make_blank
from bootsrv.model import NodeState

pytestmark = pytest.mark.lab
PROFILE = (
    BASIC
    + """
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
when = "post"
text = "echo by the installer > /etc/post-was-here"

[[scripts]]
when = "first-boot"
text = "hostname -f > /etc/first-boot-was-here"

[[scripts]]
when = "first-boot"
text = "echo and another >> /etc/first-boot-was-here"
"""
)
# What the installer took of its answers, told when its menu comes to the partitions: it has saved them then.
ANSWERS = "cd /var/lib/cdebconf; sed -n '/^Name: /p; /^Value: /p' questions.dat passwords.dat"
TELLS = when("Menu item .partman-base. selected", ANSWERS)
# The installer itself puts the card there that it has chosen.
CHANGED = frozenset(("netcfg/choose_interface",))


@pytest.fixture
def field(request: pytest.FixtureRequest) -> Iterator[Field]:
    stocks = {"partitions": ("lab-installer", NOTHING), "disks": ("lab-disks", DISKS)}
    stock = next((one for word, one in stocks.items() if word in request.node.name), ("lab-debian", WHOLE))
    with Lab() as lab:
        made = Field(lab, *stock)
        try:
            yield made
        finally:
            keep(lab, "install-")
            made.upstream.close()


def profile_of(field: Field) -> str:
    return PROFILE.replace("{key}", field.lab.service.ssh.public)


def until(done: Callable[[], bool], seconds: float) -> None:
    ends = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < ends
        time.sleep(1)


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


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "firmware", [Firmware.BIOS, pytest.param(Firmware.UEFI_SECURE, marks=pytest.mark.slow)]
)
def test_the_installer_takes_all_answers_and_reaches_partitions(field: Field, firmware: Firmware) -> None:
    """With Secure Boot by Debian's own shim and GRUB, which starts Debian's signed kernel."""
    machine = field.started(firmware, profile_of(field) + TELLS, memory=1024, disk=2048, bus="usb")
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
@pytest.mark.timeout(1500)
def test_of_several_disks_the_smallest_is_taken_where_none_is_named(field: Field) -> None:
    """Its installer would ask which one, and put the boot loader on the first."""
    told = when("Menu item .bootstrap-base. selected", ANSWERS)
    machine = field.armed(Firmware.BIOS, profile_of(field) + told, memory=1024, disk=6144, disks=3)
    make_blank(machine.disks[1], 4096)
    make_blank(machine.disks[2], 512)  # too small for a system
    machine.on()
    field.wait(machine, "install.step", "base system", 1200)
    until(lambda: "Name: partman/confirm\n" in field.log(), 60)
    machine.cut()
    found = taken(field)
    assert (found["partman-auto/disk"], found["grub-installer/bootdev"]) == ("/dev/vdb", "/dev/vdb")
    tables = []
    for path in machine.disks:
        with path.open("rb") as disk:
            tables.append(disk.read(520)[512:] == b"EFI PART")
    assert tables == [False, True, False]


@pytest.mark.slow
@pytest.mark.timeout(6000)
@pytest.mark.parametrize("firmware", [Firmware.BIOS, Firmware.UEFI])
def test_from_a_blank_disk_to_a_log_in(field: Field, firmware: Firmware) -> None:
    machine = field.started(firmware, profile_of(field), memory=2048, disk=6144, cpus=2)
    field.wait(machine, "install.done", "", 3600)
    assert field.node().state is NodeState.INSTALLED and field.node().armed is None
    field.wait(machine, "home", "", 1500)
    assert field.node().state is NodeState.RUNNING
    machine.console.wait_for("n1 login: ", 300)

    def ask(*words: str) -> str:
        return field.lab.service.ssh.run(ADDRESS, *words).strip()

    assert ask("hostname -f") == "n1.cluster.test"
    assert ask("cat /etc/first-boot-was-here") == "n1.cluster.test\nand another"
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
