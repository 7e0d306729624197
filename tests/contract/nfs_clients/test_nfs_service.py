"""The process that keeps roots over NFS: from what the registry says to what a machine can mount."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import imagestore
import pytest
from nfs_rig import FRIEND, ROOT, SERVER, STRANGER, Net
from test_nfs_clients import by_hand, url

from bootsrv.appliance.appliance import Appliance
from bootsrv.appliance.nodes import Wanted
from bootsrv.config import Config, parse
from bootsrv.diskless import netroots
from bootsrv.errors import BootsrvError
from bootsrv.model import BootMode, Diskless, Node, Root, Rooted, RootKind, Writes
from bootsrv.nfsroot.places import NfsPlaces
from bootsrv.privilege import Identity
from images.netroot import prepare

pytestmark = pytest.mark.netns
FILES = {"hostname": b"golden\n", "big": os.urandom(2_000_000)}
SCRIPT = "mount --make-rprivate / && mount -t tmpfs run /run && exec "


class House:
    """An appliance and its process."""

    def __init__(self, net: Net, home: Path) -> None:
        self.net, self.home = net, home
        table = {
            "data_dir": str(home), "interfaces": [], "payload_dir": str(home / "payloads"),
            "subnets": [{"cidr": "10.99.0.0/24"}],
        }  # fmt: skip
        text = f'data_dir = "{home}"\n[[subnets]]\ncidr = "10.99.0.0/24"\n'
        (home / "bootsrv.toml").write_text(text)
        (home / "run").mkdir()
        self.config: Config = parse(table, home / "bootsrv.toml")
        self.store = imagestore.make(home)
        for number in (1, 2):
            imagestore.publish(self.store, "debian", {**FILES, "version": b"%d" % number})
        self.appliance = Appliance.open(self.config)
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """With no more rights than the service gives it."""
        argv = [sys.executable, "-m", "bootsrv.nfs", "--config", str(self.home / "bootsrv.toml")]
        command = SCRIPT + " ".join(Identity(None, drop=True).command("nfs", argv))
        self.process = subprocess.Popen(
            ["ip", "netns", "exec", self.net.server, "unshare", "--mount", "sh", "-c", command],
            cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip

    def stop(self, number: int = signal.SIGTERM) -> None:
        if self.process is not None:
            self.process.send_signal(number)
            self.process.wait(20)
        self.process = None

    def node(self, address: str, mac: str, name: str = "n1") -> Node:
        node = self.appliance.nodes.add(Wanted(name=name, macs=[mac], address=address))
        diskless = Diskless(root=RootKind.NFS)  # the image has no kernel, so no verb would let it boot that
        node = replace(node, image="debian", mode=BootMode.DISKLESS, diskless=diskless)
        return self.appliance.registry.nodes.save(node)

    def boot(self, node: Node, ref: str | None, writes: Writes = Writes.DISCARD) -> Node:
        """As when its boot script was handed out."""
        root = Root(RootKind.NFS, writes, limit=64 << 20)
        rooted = Rooted(ref, root, time.time()) if ref is not None else None
        node = self.appliance.nodes.show(f"#{node.id}")
        return self.appliance.registry.nodes.save(replace(node, rooted=rooted))

    def place(self, node: Node, ref: str) -> dict[str, Any]:
        return NfsPlaces(self.config).nfs(node, self.store.resolve(ref), SERVER)

    def ganesha(self) -> int:
        return int((self.home / "nfs/ganesha.pid").read_text())

    def cli(self, *words: str) -> Any:
        command = [sys.executable, "-m", "bootsrv.cli.main", "--config", str(self.home / "bootsrv.toml")]
        done = subprocess.run([*command, *words, "--json"], capture_output=True, check=True, cwd=ROOT)
        return json.loads(done.stdout)


def until(what: Callable[[], bool], seconds: float = 20.0) -> float:
    began = time.monotonic()
    while not what():
        assert time.monotonic() - began < seconds, "it did not come to pass"
        time.sleep(0.05)
    return time.monotonic() - began


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    net = Net()
    made = House(net, tmp_path)
    try:
        yield made
    finally:
        made.stop()
        made.appliance.close()
        net.close()


def ready(house: House, node: Node, ref: str) -> bool:
    try:
        return bool(house.place(node, ref))
    except BootsrvError:
        return False


def mac_of(house: House) -> str:
    """The card that all addresses of the clients' namespace have."""
    words = ["ip", "-n", house.net.client, "-j", "link", "show", "v0"]
    return str(json.loads(subprocess.check_output(words))[0]["address"])


def test_a_root_follows_its_machine(house: House) -> None:
    node = house.node(FRIEND, mac_of(house))
    house.start()
    time.sleep(1.5)
    assert not (house.home / "nfs/ganesha.pid").exists(), "nothing runs before a machine needs it"
    node = house.boot(node, "debian@1")
    until(lambda: ready(house, node, "debian@1"))
    assert house.place(node, "debian@1")["path"] == "/roots/debian@1"
    for version in (3, 4):
        done = house.net.run("nfs-cat", url("/roots/debian@1/big", version))
        assert done.stdout == FILES["big"], done.stderr
    assert "refused" in by_hand(house.net, "mount", "/roots/debian@1", STRANGER)
    handle = by_hand(house.net, "mount", "/roots/debian@1", FRIEND)
    node = house.boot(node, "debian@2")
    until(lambda: ready(house, node, "debian@2"))
    assert by_hand(house.net, "getattr", handle, FRIEND) == 70, "NFS3ERR_STALE"
    assert house.net.run("nfs-cat", url("/roots/debian@2/version", 4)).stdout == b"2"
    house.boot(node, None)
    took = until(lambda: "refused" in by_hand(house.net, "mount", "/roots/debian@2", FRIEND))
    assert took < 5.0, "a grant that goes is withdrawn within seconds"


OLD = """
target = "rhel5"
[source]
nfs_server = "10.99.0.1"
directory = "/trees/rhel5"
"""


def old_tree(place: Path) -> Path:
    """What a Red Hat of that age has where its installer looks."""
    boot = place / "images/pxeboot"
    boot.mkdir(parents=True)
    for name in ("vmlinuz", "initrd.img"):
        (boot / name).write_bytes(b"x")
    (place / "Server").mkdir()
    (place / "Server/bash-3.2-32.el5.x86_64.rpm").write_bytes(FILES["big"])
    (place / ".treeinfo").write_text(
        "[general]\nfamily = Red Hat Enterprise Linux Server\nversion = 5.11\narch = x86_64\n"
        "[images-x86_64]\nkernel = images/pxeboot/vmlinuz\ninitrd = images/pxeboot/initrd.img\n"
    )
    return place


def test_an_install_tree_is_there_for_its_machine_while_that_is_due(house: House) -> None:
    """No machine has a root over NFS: the server runs for the installer alone."""
    verbs = house.appliance
    verbs.trees.import_(str(old_tree(house.home / "medium")), "rhel5")
    verbs.profiles.save("old", OLD, "test")
    verbs.profiles.save("plain", 'target = "rhel5"\n', "test")
    node = verbs.nodes.add(Wanted(name="n1", macs=[mac_of(house)], address=FRIEND, profile="plain"))
    house.start()
    verbs.installs.install([node])
    time.sleep(2.5)
    assert not (house.home / "nfs/ganesha.pid").exists(), "over HTTP nobody needs it"
    verbs.installs.install([verbs.nodes.show("n1")], "old")
    rpm = "/trees/rhel5/Server/bash-3.2-32.el5.x86_64.rpm"
    until(lambda: house.net.run("nfs-cat", url(rpm, 3)).stdout == FILES["big"])
    assert house.net.run("nfs-cat", url(rpm, 4)).stdout == FILES["big"]
    assert "refused" in by_hand(house.net, "mount", "/trees/rhel5", STRANGER)
    verbs.installs.install([verbs.nodes.show("n1")], "plain")
    until(lambda: "refused" in by_hand(house.net, "mount", "/trees/rhel5", FRIEND))


def running(parent: int) -> list[int]:
    """Everything that a process has started, and what that has."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            if int(path.read_text().rpartition(")")[2].split()[1]) == parent:
                found += [int(path.parent.name), *running(int(path.parent.name))]
    return found


def test_what_is_killed_comes_back_and_machines_go_on(house: House) -> None:
    node = house.boot(house.node(FRIEND, mac_of(house)), "debian@1", Writes.KEEP)
    house.start()
    until(lambda: ready(house, node, "debian@1"))
    place = house.place(node, "debian@1")
    source = house.home / "written"
    source.write_bytes(os.urandom(500_000))
    assert house.net.run("nfs-cp", str(source), url(f"{place['keep']}/file", 3)).returncode == 0
    root = by_hand(house.net, "mount", place["path"], FRIEND)
    own = by_hand(house.net, "mount", place["keep"], FRIEND)
    first = house.ganesha()
    os.kill(first, signal.SIGKILL)
    until(lambda: house.ganesha() != first and by_hand(house.net, "getattr", root, FRIEND) == 0)
    second = house.ganesha()
    assert house.process is not None
    helpers = running(house.process.pid)
    house.stop(signal.SIGKILL)
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in [second, *helpers]), 5.0)
    house.start()
    until(lambda: by_hand(house.net, "getattr", root, FRIEND) == 0)
    assert by_hand(house.net, "getattr", own, FRIEND) == 0
    assert house.net.run("nfs-cat", url(f"{place['keep']}/file", 3)).stdout == source.read_bytes()
    assert "refused" in by_hand(house.net, "mount", place["keep"], STRANGER)


def test_what_is_exported_is_told(house: House) -> None:
    node = house.boot(house.node(FRIEND, mac_of(house)), "debian@1", Writes.KEEP)
    house.start()
    until(lambda: ready(house, node, "debian@1"))
    house.net.run("nfs-cat", url("/roots/debian@1/big", 3))
    # Written for NFS, but without a kernel nobody boots it.
    until(lambda: {row["state"] for row in house.cli("export", "list")} == {"waits for its turn"})
    place = netroots.home(house.config, house.appliance.images.resolve("debian@1").id)
    place.mkdir(parents=True)
    (place / prepare.READY).write_text('{"kernel": "6.1", "has": ["overlay", "nfs"]}')
    found = house.cli("export", "list")
    rows = {(row["image"], row["kind"]): row for row in found}
    assert set(rows) == {("debian@1", "nfs"), ("debian@2", "nfs")}  # now, and at its next boot
    now = rows["debian@1", "nfs"]
    assert (now["state"], now["path"], now["server"]) == ("ready", "/roots/debian@1", "ganesha v4.2 v3")
    assert now["machines"][0]["address"] == FRIEND and now["machines"][0]["limit"] >= 64 << 20
    assert rows["debian@2", "nfs"]["machines"][0]["since"] is None
    hold = (
        f"import socket; s = socket.create_connection(('{SERVER}', 2049), source_address=('{FRIEND}', 0));"
        "print(1, flush=True); input()"
    )
    held = subprocess.Popen(
        ["ip", "netns", "exec", house.net.client, sys.executable, "-c", hold],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert held.stdout is not None and held.stdout.readline()
    until(lambda: house.cli("export", "show", "debian@1")[0]["machines"][0]["connected"])
    held.communicate(b"\n")
    until(lambda: not house.cli("export", "show", "debian@1")[0]["machines"][0]["connected"])
    with pytest.raises(BootsrvError, match="debian@1"):
        house.appliance.images.remove("debian@1")


def test_a_broken_image_is_said_and_not_exported(house: House) -> None:
    node = house.boot(house.node(FRIEND, mac_of(house)), "debian@1")
    for pack in (house.home / "store/packs").iterdir():
        data = bytearray(pack.read_bytes())
        data[len(data) // 3] ^= 1
        pack.write_bytes(data)
    house.start()

    def said() -> str:
        try:
            house.place(node, "debian@1")
        except BootsrvError as error:
            return str(error)
        return ""

    until(lambda: "failed: debian@1: /" in said() and ".pack; run `bootsrv image verify" in said())
    events = house.appliance.registry.events
    until(lambda: any(event.kind == "alarm.nfs" for event in events.latest()))
    assert not list((house.home / "nfs/roots").glob("*"))
