"""From a machine to an image: a running one over SSH; one that is off, by the imager, and to another disk.

Works on the machine as the tests before have left it, or images it first when it runs alone.
"""

from __future__ import annotations

import fnmatch
import time

import pytest
from labhouse import Cluster

from bootsrv.lab.firmware import Firmware
from bootsrv.model import Node, NodeState
from images.manifest import Entry

pytestmark = [pytest.mark.lab, pytest.mark.slow, pytest.mark.timeout(2700)]  # more than all its waits
NAME, ADDRESS = "n2", "10.77.0.12"
# What imaging made this machine's own, what its first boots wrote, and what a push keeps.
OWN = (
    "/etc/hostname", "/etc/hosts", "/etc/fstab", "/etc/crypttab", "/etc/mdadm*", "/etc/machine-id",
    "/etc/.*", "/etc/ssh/*", "/root*", "/etc/systemd/*", "/etc/bootsrv*", "/etc/default/grub.d*",
    "/etc/resolv.conf", "/etc/network*", "/etc/netplan*", "/etc/issue", "/etc/shadow*", "/usr/local*",
    "/boot/grub*", "/boot/efi*", "/var/.updated", "/var/lib/systemd*", "/var/lib/bootsrv*",
    "/var/lib/dbus*", "/var/lib/private*", "/var/log*", "/var/tmp*", "/var/cache*", "/lost+found", "/run*",
    "/tmp*", "/dev*", "/proc*", "/sys*",
)  # fmt: skip


def what(entry: Entry | None) -> Entry | None:
    """All but the time: directories have another one as soon as anything was made in them."""
    return None if entry is None else entry._replace(mtime_ns=0)


@pytest.fixture(scope="module")
def node(cluster: Cluster) -> Node:
    return cluster.settled(cluster.bios, NAME, ADDRESS)


def ask(cluster: Cluster, command: str) -> str:
    return cluster.lab.service.ssh.run(ADDRESS, command).strip()


def test_a_running_machine_becomes_an_image(cluster: Cluster, node: Node) -> None:
    ask(cluster, "echo golden >/etc/golden; head -c 3000000 /dev/urandom >/srv/noise; sync")
    said = cluster.lab.service.cli("image", "capture", NAME, "--name", "golden", timeout=400)
    assert said.startswith("golden@1: ")
    store = cluster.verbs.images.store()
    golden, base = store.resolve("golden"), store.resolve(str(node.running))
    assert golden.parent == base.id
    added = next(e.data["added"] for e in cluster.verbs.watch.latest(50) if e.kind == "capture.done")
    assert 3_000_000 < added < 12_000_000, "what the store had was not sent"
    was = {entry.path: entry for entry in store.manifest(base.id).entries()}
    now = {entry.path: entry for entry in store.manifest("golden").entries()}
    assert now[b"etc/golden"].size == 7 and now[b"srv/noise"].size == 3_000_000
    for secret in (b"etc/machine-id", b"etc/ssh/ssh_host_ed25519_key", b"etc/bootsrv/home.conf"):
        assert secret not in now, "what is one machine's own is not in an image"
    differ = {path for path in was.keys() | now.keys() if what(was.get(path)) != what(now.get(path))}
    differ -= {b"etc/golden", b"srv/noise"}
    names = sorted("/" + path.decode() for path in differ)
    assert [name for name in names if not any(fnmatch.fnmatch(name, own) for own in OWN)] == []


def test_a_whole_disk_to_an_image_and_to_another_disk(cluster: Cluster, node: Node) -> None:
    since = cluster.now()
    cluster.lab.service.cli("image", "capture", NAME, "--name", "whole", "--offline", "--disk")
    cluster.bios.reset()
    made = cluster.wait_event(cluster.bios, "capture.done", since, 400)
    assert made.data["ref"] == "whole@1"
    back = cluster.wait_event(cluster.bios, "home", since, 240)
    assert back.id > made.id, "its own disk again"
    assert cluster.node(cluster.bios).armed is None
    version = cluster.verbs.images.resolve("whole")
    assert version.kind == "disk" and version.bytes < 3 << 30

    cluster.bios.off()  # the copy has the same name and address
    copy = cluster.lab.add(Firmware.BIOS, disk=5120)
    copy.on()
    cluster.wait(copy, lambda node: bool(node and node.facts), 240, "showed up")
    cluster.lab.service.cli("node", "adopt", copy.spec.mac, "--name", "n9", "--image", "whole")
    cluster.wait(copy, lambda node: bool(node and node.state is NodeState.INSTALLED), 400, "was imaged")
    ends = time.monotonic() + 240
    while f"{NAME} login:" not in copy.console.tail(40):
        assert time.monotonic() < ends, copy.console.tail(40)
        time.sleep(1)
    # Not over SSH: it came back as it was taken, so its network waits for the card of the machine it was.
    assert f"[vda] {(5 << 30) // 512} 512-byte" in copy.console.text(), "this is the copy"
    copy.cut()
    cluster.bios.on()
    cluster.wait_event(cluster.bios, "home", cluster.now(), 240)


def test_files_of_a_machine_that_is_off(cluster: Cluster, node: Node) -> None:
    since = cluster.now()
    cluster.lab.service.cli("image", "capture", NAME, "--name", "resting", "--offline")
    cluster.bios.reset()
    made = cluster.wait_event(cluster.bios, "capture.done", since, 400)
    assert made.data["ref"] == "resting@1" and made.data["added"] < 20_000_000
    cluster.wait_event(cluster.bios, "home", since, 240)
    paths = {entry.path for entry in cluster.verbs.images.store().manifest("resting").entries()}
    assert b"etc/debian_version" in paths and b"etc/machine-id" not in paths
