"""Running machines become another version without a boot: only what differs moves, what is theirs stays, a
break in the middle is taken back and the next push completes it.

Works on the two machines as the tests before have left them, or images them first when it runs alone.
"""

from __future__ import annotations

import json

import pytest
from labhouse import Cluster

from bootsrv.lab.errors import LabError
from bootsrv.lab.machine import Machine
from bootsrv.model import Node, NodeState

pytestmark = [pytest.mark.lab, pytest.mark.timeout(2400)]
ADDRESSES = {"n1": "10.77.0.11", "n2": "10.77.0.12"}
IDENTITY = "cat /etc/machine-id /etc/ssh/ssh_host_ed25519_key.pub"
EDITION = "/etc/bootsrv-edition"  # only the second image has it


def ask(cluster: Cluster, name: str, command: str) -> str:
    return cluster.lab.service.ssh.run(ADDRESSES[name], command).strip()


def machines(cluster: Cluster) -> dict[str, Machine]:
    return {"n1": cluster.uefi, "n2": cluster.bios}


@pytest.fixture(scope="module")
def running(cluster: Cluster) -> str:
    """Both run the second image; what they are to become is the first."""
    for name, machine in machines(cluster).items():
        known = cluster.wait(machine, lambda node: bool(node and (node.facts or node.running)), 180, "came")
        if known.state is NodeState.DISCOVERED:
            cluster.lab.service.cli(
                "node", "adopt", machine.spec.mac, "--name", name, "--image", "debian-b", "--address",
                ADDRESSES[name], "--method", "static",
            )  # fmt: skip
    for machine in machines(cluster).values():
        assert cluster.wait_state(machine, NodeState.RUNNING, 900).running == "debian-b@1"
    return "debian@1"


def push(cluster: Cluster, *arguments: str) -> dict[str, dict[str, object]]:
    said = cluster.lab.service.cli("push", *arguments, "--json", timeout=900)
    return dict(json.loads(said)["done"])


def test_a_push_to_two_running_machines(cluster: Cluster, running: str) -> None:
    boots = {name: ask(cluster, name, "cat /proc/sys/kernel/random/boot_id") for name in ADDRESSES}
    own = {name: ask(cluster, name, IDENTITY) for name in ADDRESSES}
    plan = json.loads(cluster.lab.service.cli("push", "n[1-2]", "--image", running, "--dry-run", "--json"))
    assert [(step["from"], step["to"]) for step in plan] == [("debian-b@1", running)] * 2
    assert "less" in plan[0]["packages"] and not plan[0]["reboot"]

    # n1 keeps a file of its own on top; on n2, a name that cannot be replaced breaks the switch in its middle
    ask(cluster, "n1", "mkdir -p /etc/bootsrv/overrides/etc && echo local >/etc/bootsrv/overrides/etc/issue")
    ask(cluster, "n2", "chattr +i /var/lib/dpkg/status")
    with pytest.raises(LabError, match=r"n2: .*(not permitted|permission)"):
        push(cluster, "n[1-2]", "--image", running, "--max-fail", "1")
    assert ask(cluster, "n1", "cat /etc/issue") == "local"
    assert ask(cluster, "n2", f"cat {EDITION}") == "second", "what was switched already was taken back"
    assert ask(cluster, "n2", "less --version | head -c4") == "less"

    ask(cluster, "n2", "chattr -i /var/lib/dpkg/status")
    assert push(cluster, "n2", "--image", running)["n2"]["drift"] == 0
    for name, machine in machines(cluster).items():
        node = cluster.node(machine)
        assert node is not None and node.running == running
        assert ask(cluster, name, f"test -e {EDITION} || test -e /usr/bin/less || echo gone") == "gone"
        assert ask(cluster, name, "hostname -f") == f"{name}.cluster.test"
        assert ask(cluster, name, "cat /proc/sys/kernel/random/boot_id") == boots[name]
        assert ask(cluster, name, IDENTITY) == own[name]
        assert ask(cluster, name, "systemctl --failed --no-legend") == ""
        assert ask(cluster, name, "test -e /var/lib/bootsrv/push/stage || echo gone") == "gone"


def test_nothing_to_do_moves_nothing_and_drift_is_listed(cluster: Cluster, running: str) -> None:
    again = push(cluster, "n1", "--image", running)["n1"]
    assert (again["made"], again["fetched"]) == (0, 0)
    ask(cluster, "n1", "echo x >>/etc/debian_version; chmod 700 /usr/bin/perl; rm /etc/rmt")
    listed = json.loads(cluster.lab.service.cli("node", "drift", "n1", "--json"))["n1"]["files"]
    assert sorted(map(tuple, listed)) == [
        ("/etc/debian_version", "content"), ("/etc/rmt", "missing"), ("/usr/bin/perl", "attributes"),
    ]  # fmt: skip
    assert "3 names differ" in cluster.lab.service.cli("node", "show", "n1")
    assert push(cluster, "n1")["n1"]["drift"] == 0
    assert "names differ from" in cluster.lab.service.cli("node", "show", "n1")


@pytest.mark.slow
def test_a_power_cut_in_the_switch_is_completed_by_the_next_boot(cluster: Cluster, running: str) -> None:
    """It is cut off as soon as a program of the new version is in its place, long before the last step."""
    since = cluster.now()
    script = "while [ ! -e /usr/bin/less ]; do :; done; echo b >/proc/sysrq-trigger"
    ask(cluster, "n2", f"echo 1 >/proc/sys/kernel/sysrq; nohup sh -c '{script}' >/dev/null 2>&1 &")
    with pytest.raises(LabError):
        push(cluster, "n2", "--image", "debian-b@1")
    cluster.wait_event(cluster.bios, "home", since, 600)
    cluster.lab.service.ssh.run(
        ADDRESSES["n2"], "while [ -e /var/lib/bootsrv/push/journal ]; do sleep 1; done", timeout=120
    )
    assert ask(cluster, "n2", f"cat {EDITION}") == "second"
    assert push(cluster, "n2", "--image", "debian-b@1")["n2"]["drift"] == 0


@pytest.mark.slow
def test_a_machine_that_loses_the_server_returns(cluster: Cluster, running: str) -> None:
    """Its way home is cut right after the switch, so it goes back by itself."""
    push(cluster, "n1", "--image", running)
    script = (
        "while [ ! -e /var/lib/bootsrv/push/phase ]; do sleep 0.2; done;"
        " sed -i s,^url=.*,url=http://10.77.0.1:9/home, /etc/bootsrv/home.conf"
    )
    ask(cluster, "n1", f"cp /etc/bootsrv/home.conf /root/; nohup sh -c '{script}' >/dev/null 2>&1 &")
    with pytest.raises(LabError, match="did not call home"):
        cluster.lab.service.cli("push", "n1", "--image", "debian-b@1", "--confirm", "0.3", timeout=900)
    assert ask(cluster, "n1", f"test -e {EDITION} || echo gone") == "gone"
    ask(cluster, "n1", "cp /root/home.conf /etc/bootsrv/home.conf")
    assert push(cluster, "n1", "--image", running, "--confirm", "2")["n1"]["drift"] == 0


BROKEN = """
cd /etc/systemd/system && mkdir -p local-fs.target.requires
printf '[Mount]\\nWhat=none\\nWhere=/srv/none\\nType=tmpfs\\nOptions=nonsense\\n' >srv-none.mount
ln -s ../srv-none.mount local-fs.target.requires/
"""


@pytest.mark.slow
def test_a_version_that_ends_in_the_emergency_shell_is_taken_back(cluster: Cluster, running: str) -> None:
    """Nobody can log in to it and it reports nothing, so it has to go back by itself, and starts again."""
    push(cluster, "n1", "--image", running)
    made = cluster.lab.service.cli("image", "edit", running, "--", "sh", "-c", BROKEN, timeout=300)
    assert made.startswith("debian@2")
    before, since = ask(cluster, "n1", "cat /proc/sys/kernel/random/boot_id"), cluster.now()
    with pytest.raises(LabError, match=r"returned|not confirmed"):
        cluster.lab.service.cli(
            "push", "n1", "--image", "debian@2", "--confirm", "1", "--reboot", timeout=1500
        )
    assert "emergency mode" in cluster.uefi.console.tail(4000)

    def up(_: Node | None) -> bool:
        """It may have told of its return out of the emergency, and starts again only now."""
        homes = [event.data for event in cluster.since(cluster.uefi, since) if event.kind == "home"]
        return any(data.get("image") == running and not data.get("returned") for data in homes)

    cluster.wait(cluster.uefi, up, 600, "called home as what it was")
    assert ask(cluster, "n1", "cat /proc/sys/kernel/random/boot_id") != before
    assert ask(cluster, "n1", "test -e /etc/systemd/system/srv-none.mount || echo gone") == "gone"
    node = cluster.node(cluster.uefi)
    assert node is not None and node.running == running
