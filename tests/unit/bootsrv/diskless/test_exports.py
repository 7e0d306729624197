"""Block devices for nodes: who gets which, and the process that hands them out, on a real network."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from imagestore import noise, publish

from bootsrv import lifecycle
from bootsrv.appliance.appliance import Appliance
from bootsrv.appliance.nodes import Wanted
from bootsrv.config import load
from bootsrv.diskless import nbdstate
from bootsrv.diskless.gate import HouseGate, folder_of, orphans
from bootsrv.diskless.shares import Shares
from bootsrv.groundwork import prepare
from bootsrv.lab.namespace import Inside, Namespace
from bootsrv.model import Node, Root, RootKind, Writes
from bootsrv.peers import Peers
from bootsrv.privilege import Identity
from bootsrv.registry.registry import Registry
from images.nbd.gate import Refused
from tests.unit.bootsrv.conftest import Clock

MAC = "52:54:00:00:00:aa"
KEEP = Root(RootKind.NBD, Writes.KEEP, (), 32 << 20)
FILES = {f"file{n}": noise(50_000 + n, n) for n in range(40)}


def booted(house: Appliance, image: str, root: Root, address: str = "10.77.0.11") -> Node:
    node = house.nodes.add(Wanted(name="n1", macs=[MAC], address=address))
    return house.registry.nodes.save(lifecycle.rooted(node, image, root, 1.0))


class TestGate:
    @pytest.fixture
    def gate(self, house: Appliance, registry: Registry, clock: Clock, tmp_path: Path) -> HouseGate:
        arp = tmp_path / "arp"
        arp.write_text(f"IP address ...\n10.77.0.11 0x1 0x2 {MAC} * br0")
        return HouseGate(house.config, Shares(registry, Peers(registry, arp, clock), clock))

    def test_its_version_and_its_place(self, house: Appliance, gate: HouseGate) -> None:
        node = booted(house, "debian@1", KEEP)
        assert gate.grant("10.77.0.11", "debian@1").place is None
        place = gate.grant("10.77.0.11", "debian@1/keep").place
        assert place is not None and place.limit == 32 << 20
        assert place.folder == folder_of(house.config, node)

    @pytest.mark.parametrize(
        ("peer", "export", "why"),
        [
            ("10.77.0.11", "debian@2", "was booted with debian@1"),
            ("10.77.0.11", "debian", "was booted with debian@1"),
            ("10.77.0.11", "debian@1/", "was booted with"),
            ("10.77.0.11", "", "was booted with"),
            ("10.77.0.12", "debian@1", "no registered node"),
            ("::1", "debian@1", "no registered node"),
        ],
    )
    def test_nothing_else(self, house: Appliance, gate: HouseGate, peer: str, export: str, why: str) -> None:
        booted(house, "debian@1", KEEP)
        with pytest.raises(Refused, match=why):
            gate.grant(peer, export)

    @pytest.mark.parametrize("writes", [Writes.DISCARD, Writes.COMPRESS])
    def test_no_place_where_nothing_is_kept(
        self, house: Appliance, gate: HouseGate, writes: Writes
    ) -> None:  # fmt: skip
        booted(house, "debian@1", replace(KEEP, writes=writes))
        with pytest.raises(Refused, match="nothing that n1 writes is kept"):
            gate.grant("10.77.0.11", "debian@1/keep")

    def test_what_a_removed_node_kept_goes(self, house: Appliance) -> None:
        node = booted(house, "debian@1", KEEP)
        mine = folder_of(house.config, node)
        for folder in (mine, mine.with_name("999-5")):
            (folder / "kept").mkdir(parents=True)
        assert orphans(house.config, house.registry.nodes.list) == [mine.with_name("999-5")]


@pytest.mark.netns
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to make network namespaces")
class TestProcess:
    """The exports process on br0, and one machine on a cable."""

    @pytest.fixture
    def net(self, tmp_path: Path) -> Iterator[Net]:
        with Namespace() as space:
            made = Net(space, tmp_path)
            yield made
            made.stop()

    def test_a_root_a_layer_and_what_is_told(self, net: Net) -> None:
        said = net.machine(READS, "tree@1", "tree@1/keep")
        assert said["magic"] == "e2e1f5e0" and said["kept"] == 32 << 20 and said["again"] == "78" * 512
        assert "not for you" in net.machine(READS, "other@1", "other@1/keep")["refused"]
        whole = sum(map(len, FILES.values()))  # each process tells for itself, once a second
        state = net.state(lambda one: not one.clients and told(one.versions["tree@1"], whole))
        served = state.versions["tree@1"]
        assert served.requests > served.misses > 0 and served.hit_rate is not None
        assert next(iter(state.kept.values())) >= 4096
        kinds = [event.kind for event in net.events()]
        assert kinds.count("nbd.opened") == 3 and "nbd.refused" in kinds

    def test_a_machine_that_is_not_registered_gets_nothing(self, net: Net) -> None:
        """By libnbd, as the registered one and then as another one beside it."""
        copy = ["nbdcopy", "nbd://10.77.0.1:10809/tree@1", "null:"]
        net.run(*copy, machine=True)
        net.run("ip", "link", "set", "c1", "address", "52:54:00:00:00:bb", machine=True)
        net.run("ip", "address", "flush", "dev", "c1", machine=True)
        net.run("ip", "address", "add", "10.77.0.77/24", "dev", "c1", machine=True)
        said = net.space.run(["nsenter", f"--net={net.home}/machine", *copy], timeout=60)
        assert said.returncode == 1 and "server policy" in said.stderr
        assert "10.77.0.77 is the address of no registered node" in (net.home / "log").read_text()

    def test_who_took_its_address_gets_nothing(self, net: Net) -> None:
        net.run("ip", "link", "set", "c1", "address", "52:54:00:00:00:bb", machine=True)
        assert "not for you" in net.machine(READS, "tree@1", "tree@1/keep")["refused"]

    def test_several_processes_share_the_port(self, net: Net) -> None:
        net.stop()
        net.config.write_text(net.config.read_text() + "[nbd]\nprocesses = 3\n")
        net.start()
        for _ in range(12):
            assert net.machine(READS, "tree@1", "tree@1/keep")["again"] == "78" * 512
        serving = net.state(lambda one: "tree@1" in one.versions).versions["tree@1"]
        assert serving.requests > 0
        written = list((net.home / "data/run/exports").glob("*.json"))
        assert len(written) >= 2


def told(served: nbdstate.Served, whole: int) -> bool:
    return served.read > whole and served.cached > whole


READS = """
import json, sys
sys.path.insert(0, {tests!r})
from nbdhouse import Peer
try:
    root, keep = (Peer(10809, name, "10.77.0.1") for name in sys.argv[1:])
except PermissionError as error:
    print(json.dumps({"refused": str(error)}))
    sys.exit()
whole = b"".join(root.read(at, min(1 << 16, root.size - at)) for at in range(0, root.size, 1 << 16))
keep.write(4096, b"x" * 512)
keep.flush()
keep.close()
keep = Peer(10809, sys.argv[2], "10.77.0.1")
again = keep.read(4096, 512)
print(json.dumps({"magic": whole[1024:1028].hex(), "kept": keep.size, "again": again.hex()}))
"""
READS = READS.replace("{tests!r}", repr(str(Path(__file__).parents[3])))


class Net:
    """The process, started by itself; the machine has its own namespace."""

    def __init__(self, space: Namespace, home: Path) -> None:
        self.space, self.home = space, home
        self.config = home / "bootsrv.toml"
        self.config.write_text(
            f'data_dir = "{home}/data"\ninterfaces = ["br0"]\n'
            '[[subnets]]\ncidr = "10.77.0.0/24"\nmode = "proxy"\n'
        )
        config = load(self.config)
        prepare(config, Identity(None, False))
        self.house = Appliance.open(config)
        publish(self.house.images.store(), "tree", FILES)
        booted(self.house, "tree@1", KEEP)
        for line in (
            f"touch {home}/machine", f"unshare --net={home}/machine true",
            f"ip link add c0 type veth peer name c1 address {MAC} netns {home}/machine",
            "ip link set c0 master br0 up",
        ):  # fmt: skip
            self.run(*line.split())
        self.run("ip", "address", "add", "10.77.0.11/24", "dev", "c1", machine=True)
        self.run("ip", "link", "set", "c1", "up", machine=True)
        self.start()

    def start(self) -> None:
        self.log = (self.home / "log").open("w")
        words = [sys.executable, "-m", "bootsrv.diskless.exports", "--config", str(self.config)]
        self.process: Inside = self.space.spawn(words, self.log.fileno())
        until = time.monotonic() + 30
        while not (self.home / "data/run/exports").exists() or "10809" not in self.run("ss", "-tln"):
            assert self.process.poll() is None and time.monotonic() < until, (self.home / "log").read_text()
            time.sleep(0.05)

    def stop(self) -> None:
        self.process.terminate()
        assert self.process.wait(20) == 0, (self.home / "log").read_text()

    def run(self, *words: str, machine: bool = False) -> str:
        inside = ["nsenter", f"--net={self.home}/machine"] if machine else []
        done = self.space.run([*inside, *words], timeout=60)
        assert done.returncode == 0, done.stderr
        return str(done.stdout)

    def machine(self, script: str, *words: str) -> Any:
        return json.loads(self.run(sys.executable, "-c", script, *words, machine=True))

    def state(self, fits: Any) -> nbdstate.State:
        until = time.monotonic() + 25
        while True:
            state = nbdstate.exports(load(self.config))
            if state.versions and fits(state):
                return state
            assert time.monotonic() < until, state
            time.sleep(0.1)

    def events(self) -> list[Any]:
        time.sleep(0.3)
        return list(self.house.watch.events())


