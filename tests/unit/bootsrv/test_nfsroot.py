"""Which address may mount which root over NFS, and what is told of it."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from bootsrv.appliance.appliance import Appliance
from bootsrv.appliance.nodes import Wanted
from bootsrv.config import Config
from bootsrv.errors import BootsrvError, ConfigError
from bootsrv.model import Node, Root, Rooted, RootKind, Writes
from bootsrv.nfsroot import status
from bootsrv.nfsroot.grants import Grant, Grants
from bootsrv.nfsroot.places import NfsPlaces
from bootsrv.nfsroot.spaces import Spaces
from bootsrv.nfsroot.status import Status, Traffic, WriteSpace
from bootsrv.nfsroot.traffic import Counter
from bootsrv.peers import Peers
from bootsrv.registry.registry import Registry
from images.nfs.connections import Connection
from pxe.dhcp.ports import Lease
from tests.unit.bootsrv.conftest import Clock, FakeImages, make_config

MAC, OTHER = "52:54:00:00:00:01", "52:54:00:00:00:02"
ARP = "IP address HW type Flags HW address Mask Device\n{} 0x1 0x2 {} * br0\n"
NFS = Root(RootKind.NFS, Writes.KEEP, limit=1 << 30)


class Wire:
    """The kernel's neighbours."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.write_text("")

    def has(self, address: str, mac: str) -> None:
        self.path.write_text(ARP.format(address, mac))


@pytest.fixture
def wire(tmp_path: Path) -> Wire:
    return Wire(tmp_path / "arp")


def rooted(house: Appliance, registry: Registry, root: Root = NFS, at: float = 100.0) -> Node:
    node = house.nodes.add(Wanted(name="n1", macs=[MAC], address="10.77.0.11"))
    return registry.nodes.save(replace(node, rooted=Rooted("debian@1", root, at)))


def grants(registry: Registry, wire: Wire, clock: Clock, before: list[Grant] | None = None) -> Grants:
    return Grants(registry, Peers(registry, wire.path, clock), before or [], clock)


def addresses(made: Grants, registry: Registry) -> list[str]:
    return [grant.address for grant in made.now(registry.nodes.list())]


class TestGrants:
    def test_a_machine_that_is_seen_at_its_address(
        self, house: Appliance, registry: Registry, wire: Wire, clock: Clock
    ) -> None:
        node = rooted(house, registry)
        wire.has("10.77.0.11", MAC)
        (grant,) = grants(registry, wire, clock).now(registry.nodes.list())
        assert grant == Grant(node.id, "n1", "10.77.0.11", "debian@1", 100.0, True, 1 << 30)

    @pytest.mark.parametrize("kind", [RootKind.RAM, RootKind.NBD])
    def test_no_other_kind_of_root(
        self, house: Appliance, registry: Registry, wire: Wire, clock: Clock, kind: RootKind
    ) -> None:
        rooted(house, registry, Root(kind))
        wire.has("10.77.0.11", MAC)
        assert addresses(grants(registry, wire, clock), registry) == []

    def test_another_machine_at_the_address(
        self, house: Appliance, registry: Registry, wire: Wire, clock: Clock
    ) -> None:
        rooted(house, registry)
        wire.has("10.77.0.11", OTHER)
        assert addresses(grants(registry, wire, clock), registry) == []

    def test_the_address_of_its_lease(
        self, house: Appliance, registry: Registry, wire: Wire, clock: Clock
    ) -> None:
        rooted(house, registry)
        lease = Lease(IPv4Address("10.77.0.120"), MAC, b"", clock.now + 60, "", "bound")
        registry.leases.commit([lease])
        wire.has("10.77.0.11", OTHER)
        assert addresses(grants(registry, wire, clock), registry) == ["10.77.0.120"]

    def test_it_stays_for_its_boot_while_nobody_else_is_seen(
        self, house: Appliance, registry: Registry, wire: Wire, clock: Clock
    ) -> None:
        node = rooted(house, registry)
        lease = Lease(IPv4Address("10.77.0.120"), MAC, b"", clock.now + 60, "", "bound")
        registry.leases.commit([lease])
        made = grants(registry, wire, clock)
        held = made.now(registry.nodes.list())
        clock.now += 120
        assert "10.77.0.120" in addresses(made, registry), "a running machine would lose its root"
        again = grants(registry, wire, clock, [grant for grant in held if grant.address == "10.77.0.120"])
        assert "10.77.0.120" in addresses(again, registry), "also over a restart of the service"
        wire.has("10.77.0.120", OTHER)
        assert "10.77.0.120" not in addresses(again, registry)
        registry.nodes.save(replace(registry.nodes.list()[0], rooted=None))
        assert addresses(made, registry) == []
        assert node.rooted is not None


class TestPlaces:
    def place(self, config: Config, node: Node) -> dict[str, object]:
        return NfsPlaces(config).nfs(node, FakeImages.versions[0], "10.77.0.1")

    def test_it_waits_until_the_server_would_let_it_in(
        self, house: Appliance, registry: Registry, config: Config
    ) -> None:
        node = rooted(house, registry)
        config.run_dir.mkdir(parents=True, exist_ok=True)
        with pytest.raises(BootsrvError, match="not exported yet: it was not asked for"):
            self.place(config, node)
        status.write(config, Status(state={"debian@1": "40 % written"}))
        with pytest.raises(BootsrvError, match="40 % written"):
            self.place(config, node)
        root = status.Root("debian@1", "1" * 64, "/roots/debian@1", 5)
        told = Status("ganesha", 2049, 20048, ("4.2", "3"), roots=(root,))
        status.write(config, told)
        with pytest.raises(BootsrvError, match="not exported to n1 yet"):
            self.place(config, node)
        grant = Grant(node.id, "n1", "10.77.0.11", "debian@1", 1.0, True, None)
        status.write(config, replace(told, grants=(grant,)))
        with pytest.raises(BootsrvError, match="no place yet"):
            self.place(config, node)
        whole = replace(told, grants=(grant,), writes=(WriteSpace(node.id, "/writes/1", 1, 2),))
        status.write(config, whole)
        assert self.place(config, node) == {
            "host": "10.77.0.1", "port": 2049, "mount_port": 20048, "versions": ["4.2", "3"],
            "path": "/roots/debian@1", "keep": "/writes/1",
        }  # fmt: skip
        assert status.read(config) == whole
        status.write(config, replace(whole, error="port 2049 is taken"))
        with pytest.raises(BootsrvError, match="port 2049 is taken"):
            self.place(config, node)


def test_while_nobody_writes_over_nfs_no_list_of_all_nodes_is_made(
    registry: Registry, tmp_path: Path
) -> None:
    spaces, asked = Spaces(tmp_path / "writes", tmp_path / "mounts", registry), []
    spaces.tidy(set(), lambda: asked.append(1) or set())
    assert not asked
    (tmp_path / "writes" / "7.img").touch()
    spaces.tidy(set(), lambda: asked.append(1) or {7})
    assert asked == [1] and (tmp_path / "writes" / "7.img").exists()


def test_traffic_adds_up_over_connections() -> None:
    counter = Counter()
    counter.see([Connection("10.77.0.11", 800, 100, 10)])
    counter.see([Connection("10.77.0.11", 800, 150, 15), Connection("10.77.0.11", 801, 7, 1)])
    counter.see([Connection("10.77.0.11", 800, 30, 3)])  # another one from the same port
    assert counter.now() == (Traffic("10.77.0.11", True, 187, 19),)
    counter.see([])
    assert counter.now() == (Traffic("10.77.0.11", False, 187, 19),)


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"port": 0}, "nfs.port: 0 is not between"),
        ({"mount_port": 2049}, "nfs.mount_port: must differ"),
        ({"port": 8080}, "nfs.port: 8080 is used by"),
        ({"backend": "samba"}, "nfs.backend"),
    ],
)
def test_what_the_configuration_may_not_say(tmp_path: Path, table: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        make_config(tmp_path, nfs=table)
