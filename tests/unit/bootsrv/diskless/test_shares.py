"""Diskless machines: who says how they boot, what a version in use means, and who may have which root."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest

from bootsrv import lifecycle, ownfile
from bootsrv.appliance.appliance import Appliance
from bootsrv.appliance.nodes import Wanted
from bootsrv.appliance.roots import Wanted as WantedRoot
from bootsrv.bootplan import Action, Purpose, decide
from bootsrv.diskless.shares import NotShared, Shares, in_use
from bootsrv.errors import Conflict, Invalid
from bootsrv.model import (
    BootMode,
    Diskless,
    Node,
    NodeState,
    Root,
    Rooted,
    RootKind,
    Writes,
)  # fmt: skip
from bootsrv.peers import Peers
from bootsrv.registry.registry import Registry
from bootsrv.tasks import waiting
from tests.unit.bootsrv.conftest import Clock, FakeImages

MAC, OTHER = "52:54:00:00:00:01", "52:54:00:00:00:02"
NBD = Root(RootKind.NBD, Writes.DISCARD)


def n1(house: Appliance, **given: Any) -> Node:
    wanted = {"name": "n1", "macs": [MAC], "address": "10.77.0.11", "image": "debian", "mode": "diskless"}
    return house.nodes.add(Wanted(**{**wanted, **given}))


class TestWhoSaysHow:
    def test_a_node_for_itself(self, house: Appliance) -> None:
        node = n1(house, root="nbd", writes="paths", paths=["/home/", "/var/lib//slurm"], write_limit="2G")
        assert node.boots is BootMode.DISKLESS
        assert node.root == Root(RootKind.NBD, Writes.PATHS, ("/home", "/var/lib/slurm"), 2 << 30)

    def test_a_root_in_memory_may_have_its_writes_compressed(self, house: Appliance) -> None:
        node = n1(house, root="ram", writes="compress", write_limit="1G")
        assert node.root == Root(RootKind.RAM, Writes.COMPRESS, (), 1 << 30) and not node.root.writes.stay

    def test_its_group_where_it_says_nothing(self, house: Appliance) -> None:
        node = n1(house, mode=None, groups=["rack3"], root="nbd")
        assert (node.boots, node.state) == (BootMode.LOCAL, NodeState.ARMED)
        house.groups.set_boot("rack3", "diskless", WantedRoot("nfs", "keep", None, "64M"))
        node = house.nodes.show("n1")
        assert (node.boots, node.root) == (BootMode.DISKLESS, Root(RootKind.NBD, Writes.KEEP, (), 64 << 20))
        node = house.nodes.set("n1", Wanted(mode="local"))
        assert node.boots is BootMode.LOCAL
        node = house.nodes.set("n1", Wanted(clear=["mode", "root"]))
        assert (node.boots, node.root.kind) == (BootMode.DISKLESS, RootKind.NFS)
        house.groups.set_boot("rack3", None, WantedRoot(), ["mode", "writes"])
        assert house.nodes.show("n1").boots is BootMode.LOCAL

    def test_of_two_groups_the_last_by_name(self, house: Appliance) -> None:
        n1(house, groups=["a", "b"])
        house.groups.set_boot("b", None, WantedRoot("nbd"))
        house.groups.set_boot("a", None, WantedRoot("nfs", "keep"))
        assert house.nodes.show("n1").root == Root(RootKind.NBD, Writes.KEEP)

    def test_a_member_of_a_diskless_group_is_not_armed(self, house: Appliance) -> None:
        house.groups.set_boot("rack3", "diskless", WantedRoot())
        assert n1(house, mode=None, groups=["rack3"]).armed is None

    @pytest.mark.parametrize(
        ("given", "said"),
        [
            ({"root": "floppy"}, "root 'floppy' is none of ram, nfs, nbd"),
            ({"writes": "all"}, "writes 'all' is none of"),
            ({"root": "nfs", "writes": "paths"}, "say which are kept"),
            ({"root": "ram", "writes": "keep"}, "does without the server"),
            ({"paths": ["home"]}, "use an absolute path"),
            ({"paths": ["/a/../b"]}, "use an absolute path"),
            ({"paths": ["/a,upperdir=/b"]}, "use an absolute path"),
            ({"paths": ["/"]}, "cannot be kept"),
            ({"paths": ["/proc/x"]}, "cannot be kept"),
            ({"write_limit": "2X"}, "size '2X'"),
            ({"write_limit": 4096}, "no system comes up"),
            ({"image": None}, "has no image"),
        ],
    )
    def test_what_contradicts_itself_is_refused(
        self, house: Appliance, given: dict[str, Any], said: str
    ) -> None:
        with pytest.raises(Invalid, match=said):
            n1(house, **given)
        assert house.nodes.list() == []

    def test_a_group_cannot_make_its_nodes_contradict_themselves(self, house: Appliance) -> None:
        n1(house, groups=["rack3"], root="nbd")
        with pytest.raises(Invalid, match="say which"):
            house.groups.set_boot("rack3", None, WantedRoot(writes="paths"))
        assert house.nodes.show("n1").root == NBD


class TestMoving:
    def test_there_and_back(self, house: Appliance) -> None:
        node = n1(house, mode=None)
        assert node.state is NodeState.ARMED
        [node] = house.roots.move([node], "debian@1", WantedRoot("nbd"))
        assert (node.image, node.armed, node.state) == ("debian@1", None, NodeState.REGISTERED)
        assert decide(node).action is Action.DISKLESS
        [node] = house.roots.leave([node])
        assert (decide(node).action, node.mode) == (Action.LOCAL, BootMode.LOCAL)
        with pytest.raises(Conflict, match="not diskless"):
            house.roots.leave([node])

    def test_a_half_written_disk_does_not_matter_until_it_goes_back(self, house: Appliance) -> None:
        node = lifecycle.reported(n1(house, mode=None), "deploy.started", {})
        node = house.registry.nodes.save(lifecycle.reported(node, "deploy.failed", {"error": "x"}))
        [node] = house.roots.move([node], None, WantedRoot())
        assert decide(node).action is Action.DISKLESS
        with pytest.raises(Conflict, match="was broken off"):
            house.roots.leave([node])

    def test_an_imaging_makes_it_boot_its_disk(self, house: Appliance) -> None:
        node = n1(house)
        [node] = house.deploys.reimage([node])
        node = lifecycle.reported(lifecycle.reported(node, "deploy.started", {}), "deploy.done", {})
        assert decide(node).action is Action.LOCAL

    def test_what_its_disk_holds_is_not_what_it_ran_diskless(self) -> None:
        node = Node(1, "n1", (MAC,), NodeState.RUNNING, running="debian@2", mode=BootMode.DISKLESS)
        back = lifecycle.from_disk(replace(node, rooted=Rooted("debian@2", NBD, 1.0)))
        assert (back.running, back.state) == ("debian@2", NodeState.RUNNING), "until it boots"
        back = lifecycle.unrooted(back)
        assert (back.running, back.state, back.rooted) == (None, NodeState.REGISTERED, None)
        assert lifecycle.unrooted(lifecycle.from_disk(node)).running == "debian@2"


class TestPlan:
    NODE = Node(1, "n1", (MAC,), NodeState.REGISTERED, image="debian", mode=BootMode.DISKLESS)

    def test_says_how(self) -> None:
        node = replace(self.NODE, diskless=Diskless(RootKind.NFS, Writes.PATHS, ("/home",)))
        plan = decide(node)
        assert (plan.action, plan.image, plan.root) == (Action.DISKLESS, "debian", node.root)
        assert plan.reason == "debian as root over NFS, kept: /home"

    def test_an_imaging_comes_first(self) -> None:
        assert decide(lifecycle.arm(self.NODE, "debian@2", 1.0)).purpose is Purpose.DEPLOY

    def test_without_an_image_it_is_held(self) -> None:
        assert decide(replace(self.NODE, image=None)).purpose is Purpose.HOLD

    def test_a_waiting_imager_boots_again(self) -> None:
        assert waiting(self.NODE, decide(self.NODE)) == {"kind": "reboot"}

    def test_it_is_ours_whatever_its_options_say(self) -> None:
        assert ownfile.own_file(decide(self.NODE), {"bootfile-name": "x"}) is None

    def test_a_root_that_failed_is_named_and_tried_again(self) -> None:
        node = lifecycle.rooted(self.NODE, "debian@2", NBD, 1.0)
        node = lifecycle.reported(node, "root.failed", {"step": "verify", "error": "block 7 is damaged"})
        assert (node.error, decide(node).action) == ("verify: block 7 is damaged", Action.DISKLESS)
        assert lifecycle.reported(node, "home", {"image": "debian@2"}).error is None


class TestInUse:
    def test_what_it_has_and_what_it_gets(self, house: Appliance) -> None:
        node = n1(house, root="nbd")
        node = house.registry.nodes.save(lifecycle.rooted(node, "debian@1", Root(RootKind.NFS), 1.0))
        house.images.resolve = FakeImages().resolve  # type: ignore[method-assign]
        assert house.images.users_of() == {"debian@1": {"n1"}, "debian@2": {"n1"}}
        used = in_use(house.nodes.list(), FakeImages())
        assert set(used) == {("debian@1", RootKind.NFS), ("debian@2", RootKind.NBD)}
        with pytest.raises(Conflict, match="in use by n1"):
            house.images.remove("debian@2")
        house.registry.nodes.save(lifecycle.unrooted(node))
        assert house.images.users_of() == {"debian@2": {"n1"}}


class TestShares:
    @pytest.fixture
    def shares(self, registry: Registry, clock: Clock, tmp_path: Path) -> Shares:
        arp = tmp_path / "arp"
        rows = [f"10.77.0.11 0x1 0x2 {MAC} * br0", f"10.77.0.12 0x1 0x2 {OTHER} * br0"]
        arp.write_text("\n".join(["IP address ...", *rows]))
        return Shares(registry, Peers(registry, arp, clock), clock)

    def booted(self, house: Appliance) -> Node:
        return house.registry.nodes.save(lifecycle.rooted(n1(house), "debian@1", NBD, 1.0))

    def test_its_own(self, house: Appliance, shares: Shares) -> None:
        node = self.booted(house)
        share = shares.asked("10.77.0.11", RootKind.NBD)
        assert (share.node, share.image, share.root) == (node, "debian@1", NBD)

    def test_nobody_elses(self, house: Appliance, shares: Shares) -> None:
        self.booted(house)
        for peer, kind, said in (
            ("10.77.0.12", RootKind.NBD, "no registered node"),
            ("10.77.0.99", RootKind.NBD, "no registered node"),
            ("127.0.0.1", RootKind.NBD, "no registered node"),
            ("10.77.0.11", RootKind.NFS, "by nbd, not by nfs"),
        ):
            with pytest.raises(NotShared, match=said):
                shares.asked(peer, kind)

    def test_not_before_its_boot(self, house: Appliance, shares: Shares) -> None:
        n1(house)
        with pytest.raises(NotShared, match="was not booted diskless"):
            shares.asked("10.77.0.11", RootKind.NBD)

    def test_not_for_who_took_its_address(self, house: Appliance, shares: Shares, clock: Clock) -> None:
        house.registry.nodes.save(replace(self.booted(house), macs=(OTHER,)))
        with pytest.raises(NotShared, match="another machine has it"):
            shares.asked("10.77.0.11", RootKind.NBD)
        [event] = [e for e in house.watch.events() if e.kind == "alarm.foreign"]
        assert "asked for the root of this machine: refused" in event.text


def test_all_of_it_comes_back(registry: Registry) -> None:
    node = Node(
        0, "n1", (), NodeState.RUNNING, IPv4Address("10.77.0.11"), image="debian", mode=BootMode.DISKLESS,
        diskless=Diskless(RootKind.NFS, Writes.PATHS, ("/home",), 1 << 30),
        rooted=Rooted("debian@2", Root(RootKind.NFS, Writes.PATHS, ("/home",), 1 << 30), 5.5),
    )  # fmt: skip
    stored = registry.nodes.save(node)
    assert registry.nodes.get(stored.id) == replace(node, id=stored.id)
