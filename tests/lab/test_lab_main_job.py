"""The main job on real firmware: from unknown to running from its own disk, to a second image and back.

The tests are one story and run in this order. Both machines go through each part at the same time.
"""

from __future__ import annotations

import re
from typing import Any

import pytest
from labhouse import Cluster, adopt_in_page

from bootsrv.lab.machine import Machine
from bootsrv.model import NodeState

pytestmark = [pytest.mark.lab, pytest.mark.timeout(600)]
# What the recipe keeps out of the image on purpose.
LEFT_OUT = re.compile(r"missing +(c )?/usr/share/(doc|man|info|locale|lintian|bash-completion)\b")
ADDRESSES = {"n1": "10.77.0.11", "n2": "10.77.0.12"}


def ask(cluster: Cluster, name: str, *commands: str) -> list[str]:
    return cluster.ask(ADDRESSES[name], *commands)


def test_unknown_machines_show_up_and_tell_what_they_are(cluster: Cluster) -> None:
    for machine in (cluster.uefi, cluster.bios):
        node = cluster.wait(machine, lambda node: bool(node and node.facts), 180, "told what it is")
        assert node.state is NodeState.DISCOVERED and node.name is None
        facts = node.facts
        assert machine.spec.mac in facts["macs"]
        assert facts["firmware"] == node.firmware == machine.spec.firmware
        assert facts["dmi"]["vendor"] == "bootsrv" and facts["dmi"]["serial"] == machine.spec.serial()
        assert [disk["size"] for disk in facts["disks"]] == [machine.spec.disk << 20]
        assert 0.8 < facts["memory"] / (machine.spec.memory << 20) <= 1
    listed = {row["macs"][0] for row in cluster.lab.service.listing("node", "list", "--unknown")}
    assert listed == {cluster.uefi.spec.mac, cluster.bios.spec.mac}


def test_one_is_registered_in_the_page_the_other_by_command(cluster: Cluster) -> None:
    shown = adopt_in_page(cluster.url, cluster.login, cluster.uefi.spec.mac, "n1", "debian", ADDRESSES["n1"])
    assert "n1" in shown and ADDRESSES["n1"] in shown
    said = cluster.lab.service.cli(
        "node", "adopt", cluster.bios.spec.mac, "--name", "n2", "--image", "debian@1",
        "--address", ADDRESSES["n2"], "--method", "static",
    )  # fmt: skip
    assert "n2" in said
    for machine in (cluster.uefi, cluster.bios):
        since = cluster.now()
        cluster.wait(machine, lambda node: bool(node and node.state is not NodeState.ARMED), 30, "went on")
        assert "dhcp.discover" not in [event.kind for event in cluster.since(machine, since)], (
            "an assigned machine goes on without another power cycle"
        )


def test_both_run_from_their_own_disks_under_their_own_names(cluster: Cluster) -> None:
    ids = set()
    for name, machine in (("n1", cluster.uefi), ("n2", cluster.bios)):
        node = cluster.wait_state(machine, NodeState.RUNNING, 420)
        assert node.running == "debian@1" and node.armed is None
        full, root, size, firmware, failed, machine_id, host_key, fstab, hosts = ask(
            cluster, name, "hostname -f", "findmnt -nro SOURCE,FSTYPE /", "findmnt -bnro SIZE /",
            "test -d /sys/firmware/efi && echo uefi || echo bios", "systemctl --failed --no-legend",
            "cat /etc/machine-id", "cat /etc/ssh/ssh_host_ed25519_key.pub", "findmnt --fstab -no SOURCE /",
            "cat /etc/hosts",
        )  # fmt: skip
        assert full == f"{name}.cluster.test"
        source, fstype = root.split()
        assert source.startswith("/dev/vda") and fstype == "ext4"
        assert int(size) > 3 << 30, "the root file system fills the disk"
        assert firmware == machine.spec.firmware
        assert failed == ""
        ids |= {machine_id, host_key}
        assert fstab.startswith("UUID=")
        rows = [line.split() for line in hosts.splitlines()]
        assert [row for row in rows if ADDRESSES[name] in row and name in row]
    assert [row for row in rows if ADDRESSES["n1"] in row and "n1" in row], "n2 knows who was there before"
    assert len(ids) == 4, "every node has its own machine id and host key"


def test_metadata_of_the_image_arrived_intact(cluster: Cluster) -> None:
    passwd, shadow, tmp, perl, changed = ask(
        cluster, "n1", "stat -c '%a %U %G' /usr/bin/passwd", "stat -c '%a %G' /etc/shadow",
        "stat -c '%a' /tmp", "stat -c '%h %i' /usr/bin/perl /usr/bin/perl5.36.0",
        "dpkg --verify --verify-format rpm dpkg coreutils systemd udev || true",
    )  # fmt: skip
    assert (passwd, shadow, tmp) == ("4755 root root", "640 shadow", "1777")
    names = perl.split("\n")
    assert len(set(names)) == 1 and names[0].startswith("2 "), "hard links stay hard links"
    assert [line for line in changed.splitlines() if not LEFT_OUT.match(line)] == []


def reimage_both(cluster: Cluster) -> int:
    since = cluster.now()
    cluster.lab.service.cli("reimage", "n[1-2]", "--image", "debian-b")
    for machine in (cluster.uefi, cluster.bios):
        assert cluster.node(machine).state is NodeState.ARMED
        machine.reset()
    return since


def boot_code(machine: Machine) -> bytes:
    with machine.disk.open("rb") as disk:
        return disk.read(440)


def imaged_with(cluster: Cluster, machine: Machine, since: int) -> dict[str, Any]:
    """What the finished imaging of a machine said in numbers."""
    done = [event for event in cluster.since(machine, since) if event.kind == "deploy.done"]
    assert len(done) == 1
    return dict(done[0].data)


def test_reimaging_survives_a_server_restart_and_a_power_cut(cluster: Cluster) -> None:
    assert any(boot_code(cluster.bios)), "it had a boot loader"
    first = {machine: imaged_with(cluster, machine, 0) for machine in (cluster.uefi, cluster.bios)}
    since = reimage_both(cluster)
    # Much is on the disks already, so there is no waiting for a share of the bytes: cut as soon as it writes.
    cluster.wait_event(cluster.bios, "deploy.format", since, 240)
    cluster.bios.cut()
    assert not any(boot_code(cluster.bios)), "a half-written disk cannot be booted"
    assert cluster.node(cluster.bios).state is NodeState.IMAGING

    # The imager on the other one bears a server that goes away; firmware that is just booting would not.
    cluster.wait_event(cluster.uefi, "deploy.started", since, 240)
    assert cluster.lab.service.stop() == 0
    cluster.lab.service.start()
    cut = cluster.now()
    cluster.bios.on()
    cluster.wait_event(cluster.bios, "imager.up", cut, 180)

    for name, machine in (("n1", cluster.uefi), ("n2", cluster.bios)):
        node = cluster.wait_state(machine, NodeState.RUNNING, 420)
        assert node.running == "debian-b@1" and node.armed is None
        assert ask(cluster, name, "cat /etc/bootsrv-edition") == ["second"]
    kinds = [event.kind for event in cluster.since(cluster.uefi, since)]
    assert kinds.count("imager.up") == 1, "the server's restart cost the node no second boot"
    for machine, before in first.items():
        again = imaged_with(cluster, machine, since)
        assert before["seeded"] == 0 and before["fetched"] > 50 << 20
        assert again["fetched"] < before["fetched"] / 4, "what was on the disk is not fetched again"
        assert again["seeded"] > again["bytes"] / 2 and again["reused"] > again["files"] / 3


def test_and_back_to_its_own_disk_without_another_imaging(cluster: Cluster) -> None:
    before = {name: ask(cluster, name, "cat /proc/sys/kernel/random/boot_id") for name in ADDRESSES}
    since = cluster.now()
    for machine in (cluster.uefi, cluster.bios):
        machine.reset()
    for name, machine in (("n1", cluster.uefi), ("n2", cluster.bios)):
        cluster.wait_event(machine, "home", since, 240)
        assert ask(cluster, name, "cat /proc/sys/kernel/random/boot_id") != before[name]
        kinds = [event.kind for event in cluster.since(machine, since)]
        assert not any(kind.startswith(("imager.", "deploy.")) for kind in kinds)
