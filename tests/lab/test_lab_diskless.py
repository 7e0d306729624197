"""Real guests without a disk: each kind of root on both firmwares to a login under its own name, what they
write, two versions of one image at once, and a server that dies under them.

The tests are one story and run in this order.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator

import pytest
from diskless_farm import Farm, Guest
from kept import keep

from bootsrv.lab.errors import LabError
from bootsrv.lab.firmware import Firmware
from bootsrv.lab.lab import Lab
from bootsrv.lab.seed import plant, seeded_store
from bootsrv.model import NodeState

pytestmark = [pytest.mark.lab, pytest.mark.slow, pytest.mark.timeout(1800)]
LOWER = {"ram": "squashfs", "nfs": "nfs4", "nbd": "erofs"}
AWAY_SECONDS, LONG_AWAY_SECONDS = 60, 600


@pytest.fixture(scope="module")
def farm() -> Iterator[Farm]:
    store = seeded_store({"debian": "debian-12-vm"}, print)
    with Lab() as lab:
        plant(store, lab.service.data)
        try:
            lab.service.start()
            made = Farm(lab)
            # The second version of the image: the first with one more file.
            lab.service.outside("image", "edit", "debian@1", "--", "sh", "-c", "echo second >/etc/edition")
            yield made
        finally:
            keep(lab, "diskless-")


def all_is_well(farm: Farm, guest: Guest, root: str, since: int) -> None:
    """It is itself, from where it should be, and nothing in it failed."""
    node = farm.node(guest)
    assert node.state is NodeState.RUNNING and node.rooted is not None and node.running == node.rooted.image
    assert farm.ask(guest, "hostname -f") == f"{guest.name}.cluster.test"
    assert farm.ask(guest, "findmnt -no FSTYPE /") == "overlay"
    assert farm.ask(guest, "findmnt -no FSTYPE /run/bootsrv/lower").startswith(LOWER[root][:3])
    assert int(farm.ask(guest, "dpkg-query -f '.\\n' -W | wc -l")) > 100, "the package database is readable"
    online(farm, guest)
    assert farm.ask(guest, "systemctl --failed --no-legend") == ""
    assert guest.address in farm.ask(guest, f"grep -w {guest.name} /etc/hosts")
    key = farm.ask(guest, "cut -d' ' -f1,2 /etc/ssh/ssh_host_ed25519_key.pub")
    assert key in farm.verbs.registry.upkeep.host_keys(node.id)
    assert farm.room(guest) > 0
    # The call home is the only one: what the machine says besides is taken for what it is.
    events = farm.verbs.watch.events(since, 2000, node)
    assert [event.data["hostname"] for event in events if event.kind == "home"] == [guest.name]
    assert {"root.up", "root.done"} <= {event.kind for event in events}


def online(farm: Farm, guest: Guest) -> None:
    """The system's own network software has taken its card, whoever brought it up."""
    try:
        farm.ask(guest, "/usr/lib/systemd/systemd-networkd-wait-online --any --timeout=120", 180)
    except LabError as error:
        why = "networkctl status --all; udevadm info /sys/class/net/*; journalctl -b -u systemd-networkd"
        raise AssertionError(farm.ask(guest, f"export SYSTEMD_PAGER=; ({why}) 2>&1 || true")) from error


@pytest.mark.parametrize("root", ["ram", "nbd", "nfs"])
def test_a_root_on_both_firmwares(farm: Farm, root: str) -> None:
    guests = [
        farm.add(firmware, root, "--write-limit", "64M", "--writes", writes, image="debian@1")
        for firmware, writes in ((Firmware.BIOS, "discard"), (Firmware.UEFI, "compress"))
    ]
    since = farm.now()
    started = time.time()
    for guest in guests:
        guest.machine.on()
    for guest in guests:
        home = farm.home(guest, since)
        print(f"{root}, {guest.machine.spec.firmware}: {home.at - started:.0f} s from power-on to its call")
        all_is_well(farm, guest, root, since)
    first, second = (farm.ask(guest, "cat /etc/machine-id /etc/ssh/ssh_host_ed25519_key") for guest in guests)
    assert first != second, "each has its own"
    compresses(farm, guests[1])
    fills_up(farm, guests[1], 64 << 20)
    guests[1].machine.cut()
    if root == "ram":
        does_without(farm, guests[0])
    # What it writes is gone with the next boot, and what it is stays.
    farm.ask(guests[0], "echo x >/etc/written; echo x >/home/written")
    farm.again(guests[0])
    assert farm.ask(guests[0], "ls /etc/written /home/written 2>/dev/null || true") == ""
    assert farm.ask(guests[0], "cat /etc/machine-id /etc/ssh/ssh_host_ed25519_key") == first
    guests[0].machine.cut()


def compresses(farm: Farm, guest: Guest) -> None:
    """What it writes takes less memory than it is long."""
    device = farm.ask(guest, "findmnt -no SOURCE /run/bootsrv/memory")
    assert device.startswith("/dev/zram")
    farm.ask(guest, "seq 1 1500000 >/root/numbers; sync -f /run/bootsrv/memory")
    stat = farm.ask(guest, f"cat /sys/block/{device[5:]}/mm_stat").split()
    assert int(stat[0]) > 10 << 20 and int(stat[2]) < int(stat[0]) * 0.6, stat
    farm.ask(guest, "rm /root/numbers")


def does_without(farm: Farm, guest: Guest) -> None:
    """No server, and nothing waits: every library is read anew, and a package is checked whole."""
    farm.lab.service.kill()
    try:
        read = "echo 3 >/proc/sys/vm/drop_caches; cat /usr/lib/x86_64-linux-gnu/*.so* | wc -c"
        assert int(farm.ask(guest, read)) > 10 << 20
        # Its pages of manuals were left out of the image: those are missing.
        check = "dpkg -V coreutils | grep -v ^missing; echo x >/etc/written; cat /etc/written"
        assert farm.ask(guest, check) == "x"
    finally:
        farm.lab.service.start()


@pytest.mark.parametrize(("root", "writes"), [("nbd", "keep"), ("nfs", "paths")])
def test_what_is_to_stay_stays(farm: Farm, root: str, writes: str) -> None:
    more = ["--writes", writes, "--write-limit", "96M"]
    more += ["--path", "/home", "--path", "/var/lib/work"] if writes == "paths" else []
    guest = farm.add(Firmware.BIOS, root, *more, image="debian@1")
    since = farm.now()
    guest.machine.on()
    farm.home(guest, since)
    all_is_well(farm, guest, root, since)
    farm.ask(guest, "mkdir -p /var/lib/work; echo kept >/home/file; echo kept >/var/lib/work/file")
    farm.ask(guest, "echo other >/etc/other")
    farm.again(guest)
    assert farm.ask(guest, "cat /home/file /var/lib/work/file").split() == ["kept", "kept"]
    assert farm.ask(guest, "cat /etc/other 2>/dev/null || true") == ("other" if writes == "keep" else "")
    fills_up(farm, guest, 96 << 20)
    guest.machine.cut()


def fills_up(farm: Farm, guest: Guest, limit: int) -> None:
    """Full is full, which is said on the machine and to the server, and the machine lives."""
    since = farm.now()
    said = farm.ask(guest, "dd if=/dev/zero of=/home/large bs=1M count=200 2>&1 || true; sync", 300)
    assert "No space left on device" in said
    full = farm.event(guest, "root.full", since, 90)
    assert "full" in full.text
    assert "write layer is full" in farm.ask(guest, "dmesg")
    farm.ask(guest, "rm /home/large; echo lives >/home/after; sync")
    assert farm.ask(guest, "cat /home/after") == "lives"
    assert 0 < farm.room(guest) <= limit


def test_two_versions_at_once_and_a_server_that_dies_under_both(farm: Farm) -> None:
    old = farm.add(Firmware.BIOS, "nbd", image="debian@1")
    new = farm.add(Firmware.BIOS, "nfs", image="debian")
    since = farm.now()
    for guest in (old, new):
        guest.machine.on()
    for guest in (old, new):
        farm.home(guest, since)
    assert farm.node(old).running == "debian@1" and farm.node(new).running == "debian@2"
    assert farm.ask(old, "cat /etc/edition 2>/dev/null || true") == ""
    assert farm.ask(new, "cat /etc/edition") == "second"
    said = subprocess.run([*farm.lab.service._cli(), "image", "remove", "debian@1"], capture_output=True,
                          text=True, env=farm.lab.service._env)  # fmt: skip
    assert said.returncode == 1 and "in use by" in said.stderr
    uncached(farm, AWAY_SECONDS, old, new)
    moved(farm, old, new)
    for guest in (old, new):
        guest.machine.cut()


def test_a_server_that_is_gone_for_ten_minutes(farm: Farm) -> None:
    """Longer than systemd lets its own services be silent."""
    guests = [farm.add(Firmware.BIOS, root, image="debian@1") for root in ("nbd", "nfs")]
    since = farm.now()
    for guest in guests:
        guest.machine.on()
    for guest in guests:
        farm.home(guest, since)
    uncached(farm, LONG_AWAY_SECONDS, *guests)
    for guest in guests:
        assert farm.ask(guest, "systemctl --failed --no-legend", 300) == ""
        assert farm.ask(guest, "echo x >/etc/written && cat /etc/written") == "x"
        guest.machine.cut()


def uncached(farm: Farm, seconds: float, *guests: Guest) -> None:
    """The server is gone while they need it: they wait, and go on."""
    command = "echo 3 >/proc/sys/vm/drop_caches; cat /usr/lib/x86_64-linux-gnu/*.so* | sha256sum"
    expected = {guest.name: farm.ask(guest, command, 300) for guest in guests}
    assert len(set(expected.values())) == 1
    waiting = {}
    for guest in guests:
        words = farm.lab.service.ssh.command(guest.address, [f"echo ready; sleep 25; {command}"])
        waiting[guest.name] = subprocess.Popen(
            farm.lab.namespace.enter(words), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
    for process in waiting.values():
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
    farm.lab.service.kill()
    time.sleep(seconds)
    assert [process.poll() for process in waiting.values()] == [None, None], "they wait"
    farm.lab.service.start()
    for name, process in waiting.items():
        out, errors = process.communicate(timeout=240)
        assert process.returncode == 0 and out.strip() == expected[name], errors


def moved(farm: Farm, old: Guest, new: Guest) -> None:
    """To the other version at the next boot; and its own files anew without one."""
    folder = farm.lab.service.data / "overlays" / "all" / "etc"
    folder.mkdir(parents=True)
    (folder / "motd.j2").write_text("{{ name }} runs {{ image }}\n")
    assert "/etc/motd" in farm.lab.service.cli("node", "apply", new.name)
    assert farm.ask(new, "cat /etc/motd") == f"{new.name} runs debian@2"
    said = farm.lab.service.cli("reimage", f"{old.name},{new.name}", "--diskless", "--image", "debian@2")
    assert f"{old.name} at its next boot: debian@2 by nbd" in said
    farm.again(old)
    assert farm.ask(old, "cat /etc/edition /etc/motd").splitlines() == ["second", f"{old.name} runs debian@2"]
