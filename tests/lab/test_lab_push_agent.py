"""The agent service on a real machine: it comes with a push, takes the next ones by itself over HTTPS while
no SSH server runs, and is there from the first boot of a machine that was imaged with it.

Works on the machine as the tests before have left it, or images it first when it runs alone.
"""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from labhouse import Cluster

from bootsrv.lab.errors import LabError
from bootsrv.model import Node

pytestmark = [pytest.mark.lab, pytest.mark.slow, pytest.mark.timeout(2400)]
NAME, ADDRESS = "n2", "10.77.0.12"
NO_SSH = (
    "systemctl stop ssh.service ssh.socket; while ! grep -q agents /etc/issue; do sleep 1; done;"
    " sleep 3; systemctl start ssh.service"
)


def ask(cluster: Cluster, command: str) -> str:
    return cluster.lab.service.ssh.run(ADDRESS, command).strip()


def push(cluster: Cluster, *words: str) -> dict[str, Any]:
    said = cluster.lab.service.cli("push", NAME, *words, "--json", timeout=900)
    return dict(json.loads(said)["done"])[NAME]


def asked(cluster: Cluster) -> float | None:
    """When its agent asked last."""
    return json.loads(cluster.lab.service.cli("node", "show", NAME, "--json"))["agent"]


def wait_asked(cluster: Cluster, since: float, seconds: float = 120) -> None:
    ends = time.monotonic() + seconds
    while (asked(cluster) or 0) <= since:
        assert time.monotonic() < ends, ask(cluster, "journalctl -u bootsrv-agent --no-pager | tail -20")
        time.sleep(1)


@pytest.fixture(scope="module")
def node(cluster: Cluster) -> Node:
    return cluster.settled(cluster.bios, NAME, ADDRESS)


def test_a_push_brings_it_and_the_next_ones_go_by_it(cluster: Cluster, node: Node) -> None:
    cli = cluster.lab.service.cli
    assert ask(cluster, "grep ^url= /etc/bootsrv/home.conf").startswith("url=https://10.77.0.1:8443/")
    with pytest.raises(LabError, match="image agent debian"):
        push(cluster, "--via", "agent")
    # not of the newest: another test's breaks on purpose
    carrying = cli("image", "agent", "debian@1", timeout=300).partition(":")[0]
    assert "has this agent already" in cli("image", "agent", carrying, timeout=300)
    began = time.time()
    assert push(cluster, "--image", carrying, "--via", "ssh")["drift"] == 0
    wait_asked(cluster, began)
    assert ask(cluster, "systemctl is-active bootsrv-agent") == "active"

    newer = cli("image", "edit", carrying, "--", "sh", "-c", "echo agents >/etc/issue", timeout=300)
    ask(cluster, f"systemd-run --quiet sh -c '{NO_SSH}'")
    since = cluster.now()
    report = push(cluster, "--image", newer.partition(":")[0], "--via", "agent")
    assert report["drift"] == 0 and report["made"] >= 1
    cluster.wait_event(cluster.bios, "push.done", since, 10)
    ends = time.monotonic() + 60
    while True:
        try:
            assert ask(cluster, "cat /etc/issue") == "agents"
            break
        except LabError:
            assert time.monotonic() < ends
            time.sleep(1)
    said = ask(cluster, "journalctl -u bootsrv-agent --no-pager -o cat")
    assert f": update {newer.partition(':')[0]}" in said and ": done" in said

    wait_asked(cluster, time.time())
    again = push(cluster, "--image", carrying, "--confirm", "3")
    assert again["drift"] == 0 and ask(cluster, "cat /etc/issue") != "agents"
    said = ask(cluster, "journalctl -u bootsrv-agent --no-pager -o cat")
    assert said.count(": done") == 2, "without --via it went by the agent too"
    assert json.loads(cli("node", "drift", NAME, "--json"))[NAME]["files"] == []
    assert ask(cluster, "systemctl --failed --no-legend") == ""


def test_a_machine_that_is_imaged_with_it_has_it_at_once(cluster: Cluster, node: Node) -> None:
    cli, since = cluster.lab.service.cli, cluster.now()
    carrying = cli("image", "agent", "debian@1", timeout=300).partition(":")[0]
    cli("reimage", NAME, "--image", carrying)
    cluster.bios.reset()
    cluster.wait_event(cluster.bios, "home", since, 600)
    wait_asked(cluster, time.time() - 20)
    report = push(cluster, "--image", carrying, "--via", "agent")
    assert (report["made"], report["fetched"]) == (0, 0)
