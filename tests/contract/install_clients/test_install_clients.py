"""Three machines on one wire, a real server, real HTTP clients: two that are armed at once get their own
answers, once, and the third gets none."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from ipaddress import IPv4Address
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "unit/bootsrv/installs"))
from install_house import PROFILE, debian_tree

from bootsrv.appliance.appliance import Appliance
from bootsrv.config import load
from bootsrv.lab.lab import Lab
from bootsrv.lab.namespace import Inside
from bootsrv.model import NodeState
from pxe.dhcp.ports import Lease

pytestmark = [pytest.mark.netns, pytest.mark.timeout(180)]
URL = "http://10.77.0.1:8080"


class Client:
    """A machine on the lab's bridge, as far as HTTP and syslog are concerned."""

    def __init__(self, lab: Lab, number: int) -> None:
        self.mac, self.address = f"52:54:00:00:00:0{number}", f"10.77.0.1{number}"
        wait = "until ip link show eth0 >/dev/null 2>&1; do sleep 0.1; done; ip link set lo up; "
        mine = f"ip link set eth0 address {self.mac} up; ip address add {self.address}/24 dev eth0; sleep 600"
        with (lab.home / f"client{number}.log").open("wb") as log:
            self._inside: Inside = lab.namespace.spawn(["unshare", "--net", "sh", "-c", wait + mine], log)
        self._pid = self._inside.pid
        here = Path(f"/proc/{lab.namespace.pid}/ns/net").readlink()
        while Path(f"/proc/{self._pid}/ns/net").readlink() == here:
            time.sleep(0.02)
        for words in (
            ["link", "add", f"c{number}", "type", "veth", "peer", "name", "eth0", "netns", str(self._pid)],
            ["link", "set", f"c{number}", "master", lab.namespace.bridge, "up"],
        ):
            command = ["nsenter", f"--target={lab.namespace.pid}", "--net", "--", "ip", *words]
            subprocess.run(command, check=True, capture_output=True, timeout=20)

    def run(self, *words: str, text: str = "") -> str:
        command = ["nsenter", f"--target={self._pid}", "--net", "--", *words]
        return subprocess.run(
            command, capture_output=True, text=True, timeout=60, check=False, input=text
        ).stdout

    def curl(self, path: str, *more: str) -> tuple[int, str]:
        """Status and body."""
        said = self.run("curl", "-sS", "-m", "30", "-w", "\n%{http_code}", *more, f"{URL}{path}")
        body, _, status = said.rpartition("\n")
        return int(status), body

    def wait(self) -> None:
        ends = time.monotonic() + 30
        while self.curl("/agent")[0] != 200:
            assert time.monotonic() < ends
            time.sleep(0.2)

    def script(self) -> str:
        return self.curl(f"/boot/{self.mac.replace(':', '-')}/script.ipxe?server=10.77.0.1")[1]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with Lab() as lab:
        medium = debian_tree(tmp_path_factory.mktemp("medium"))
        lab.service.cli("tree", "import", str(medium), "--name", "debian13")
        lab.service.start()
        yield lab


@pytest.fixture(scope="module")
def clients(lab: Lab) -> list[Client]:
    made = [Client(lab, number) for number in (1, 2, 3)]
    for client in made:
        client.wait()
    return made


@pytest.fixture(scope="module")
def verbs(lab: Lab, clients: list[Client]) -> Appliance:
    verbs = Appliance.open(load(lab.service.config))
    verbs.profiles.save("web", PROFILE, "test")
    for number, client in enumerate(clients, 1):
        lab.service.cli("node", "add", f"n{number}", "--mac", client.mac, "--address", client.address,
                        "--profile", "web")  # fmt: skip
    ends = time.time() + 3600  # as if DHCP had given them their addresses: then nobody has to wait
    verbs.registry.leases.commit([Lease(IPv4Address(one.address), one.mac, None, ends) for one in clients])
    lab.service.cli("install", "n[1-2]")
    return verbs


def answers(script: str) -> str:
    found = re.search(rf"url={URL}(/install/\S+/preseed\.cfg)", script)
    assert found is not None, script
    return found[1]


def test_two_at_once_get_their_own_and_the_third_none(clients: list[Client], verbs: Appliance) -> None:
    first, second, third = clients
    where = {client: answers(client.script()) for client in (first, second)}
    assert "preseed" not in third.script() and third.curl(where[first].rpartition("/")[0] + "/")[0] == 403
    assert third.curl(f"/boot/{first.mac.replace(':', '-')}/script.ipxe")[0] == 403
    for client, path in where.items():
        others = [other for other in clients if other is not client]
        assert [other.curl(path)[0] for other in others] == [403, 403], "answers go to no other machine"
    for number, client in enumerate((first, second), 1):
        status, body = client.curl(where[client])
        assert status == 200 and f"netcfg/get_hostname string n{number}\n" in body
        assert verbs.nodes.show(f"n{number}").state is NodeState.IMAGING
        assert client.run("wget", "-q", "-O", "-", f"{URL}{where[client]}") == body, "a transfer may break"
        tell = where[client].replace("preseed.cfg", "tell/started")
        assert client.run("busybox", "wget", "-q", "-O", "-", f"{URL}{tell}") == "thanks\n"
        assert client.curl(where[client])[0] == 410, "once the installer has them, nobody gets them again"
    alarms = {event.data["address"] for event in verbs.watch.latest(500) if event.kind == "alarm.foreign"}
    assert alarms == {client.address for client in clients}


def test_served_within_20_ms(clients: list[Client], verbs: Appliance) -> None:
    third = clients[2]
    verbs.installs.install(verbs.nodes.select("n3"))
    path = answers(third.script())
    said = third.run("curl", "-sS", "-o", "/dev/null", "-w", "%{time_total}\\n", f"{URL}{path}?[1-21]")
    took = sorted(float(word) for word in said.split())
    assert len(took) == 21 and took[10] < 0.020, took


def test_its_log_arrives_by_udp_and_tcp(clients: list[Client], verbs: Appliance, lab: Lab) -> None:
    third, steps, ends = clients[2], list[str](), time.monotonic() + 30
    while len(set(steps)) < 2:  # who is welcome is looked up twice a second
        assert time.monotonic() < ends, (steps, lab.service.log.read_text()[-3000:])
        for way, item in (("--udp", "partman-base"), ("--tcp", "pkgsel")):
            third.run("logger", "--server", "10.77.0.1", "--port", "514", way, "--rfc3164", "--tag",
                      "main-menu", f"INFO: Menu item '{item}' selected")  # fmt: skip
        time.sleep(0.3)
        events = verbs.watch.latest(500, verbs.nodes.show("n3"))
        steps = [one.text for one in events if one.kind == "install.step"]
    assert set(steps) == {"partitions", "packages"}
    assert "pkgsel" in lab.service.cli("log", "n3")


def test_the_end_is_told_by_nothing_but_bash(clients: list[Client], verbs: Appliance) -> None:
    """What the installed system and Anaconda's %post run."""
    from bootsrv.installs.steps import _post

    third = clients[2]
    path = answers(third.script())
    third.curl(path)
    tell = path.replace("preseed.cfg", "tell/done")
    assert third.run("bash", "-c", _post(f"{URL}{tell}", 3) + "echo ended") == "ended\n"
    assert verbs.nodes.show("n3").state is NodeState.INSTALLED
