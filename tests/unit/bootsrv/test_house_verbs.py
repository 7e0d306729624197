"""The verbs: what they do, and the one clear line for what they refuse, with nothing half-done."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface
from typing import Any, ClassVar

import pytest

from bootsrv import lifecycle
from bootsrv.appliance.appliance import Appliance
from bootsrv.appliance.nodes import Wanted
from bootsrv.discovery import note_sighting
from bootsrv.errors import BootsrvError, Conflict, Invalid, NotFound
from bootsrv.model import AddressMethod, Node, NodeState
from pxe.dhcp.ports import Lease

MAC, OTHER = "52:54:00:00:00:01", "52:54:00:00:00:02"


def seen(house: Appliance, mac: str = MAC) -> Node:
    return note_sighting(house.registry, mac, 1.0, 7)


class TestAdd:
    def test_with_an_image_it_is_armed_once(self, house: Appliance) -> None:
        node = house.nodes.add(
            Wanted(name="N1", macs=["52-54-00-00-00-01"], address="10.77.0.11", image="debian")
        )
        assert (node.name, node.macs, node.state) == ("n1", (MAC,), NodeState.ARMED)
        assert node.armed is not None
        assert node.armed.image == "debian@2"
        assert node.method is AddressMethod.RESERVED

    def test_without_an_address_the_pool_gives_one(self, house: Appliance) -> None:
        assert house.nodes.add(Wanted(name="n1")).method is AddressMethod.DYNAMIC

    def test_not_armed_when_told_so(self, house: Appliance) -> None:
        assert house.nodes.add(Wanted(name="n1", image="debian@1"), arm=False).state is NodeState.REGISTERED

    def test_a_mac_of_the_unknown_list_is_that_machine(self, house: Appliance) -> None:
        machine = seen(house)
        assert house.nodes.add(Wanted(name="n1", macs=[MAC])).id == machine.id
        assert house.nodes.unknown() == []


REFUSED: list[tuple[dict[str, Any], type[BootsrvError], str]] = [
    ({"name": "-x"}, Invalid, "name '-x'"),
    ({"name": "a.b"}, Invalid, "name 'a.b'"),
    ({"name": "12"}, Invalid, "name '12'"),
    ({"name": None}, Invalid, "needs a name"),
    ({"name": "taken"}, Conflict, "name taken is taken"),
    ({"macs": ["52:54"]}, Invalid, "is not a MAC address"),
    ({"macs": ["01:00:5e:00:00:01"]}, Invalid, "multicast"),
    ({"macs": [OTHER]}, Conflict, f"MAC {OTHER} belongs to taken"),
    ({"address": "10.77.0.300"}, Invalid, "is not an IPv4 address"),
    ({"address": "10.78.0.5"}, Invalid, "is in no subnet of this server (10.77.0.0/24)"),
    ({"address": "10.77.0.255"}, Invalid, "broadcast"),
    ({"address": "10.77.0.1"}, Invalid, "router"),
    ({"address": "10.77.0.50"}, Conflict, "address 10.77.0.50 belongs to taken"),
    ({"address": "10.77.0.100"}, Conflict, "leased to 52:54:00:00:00:77"),
    ({"method": "reserved"}, Invalid, "needs an address"),
    ({"method": "static"}, Invalid, "needs an address"),
    ({"method": "magic"}, Invalid, "is none of reserved, dynamic, static, untouched"),
    ({"method": "dynamic", "address": "10.77.0.12"}, Invalid, "takes no address"),
    ({"image": "windows"}, NotFound, "there is no image"),
    ({"groups": ["a b"]}, Invalid, "group 'a b'"),
    ({"options": {"no-such": 1}}, Invalid, "option no-such"),
    ({"options": {"interface-mtu": 1}}, Invalid, "option interface-mtu"),
]


class TestRefused:
    @pytest.mark.parametrize(("given", "kind", "said"), REFUSED, ids=[said for *_, said in REFUSED])
    def test_and_nothing_is_left_behind(
        self, house: Appliance, given: dict[str, Any], kind: type[BootsrvError], said: str
    ) -> None:
        house.nodes.add(Wanted(name="taken", macs=[OTHER], address="10.77.0.50"))
        house.registry.leases.commit([Lease(IPv4Address("10.77.0.100"), "52:54:00:00:00:77", None, 9e9)])
        before = house.registry.nodes.list()
        with pytest.raises(kind, match=r".") as caught:
            house.nodes.add(Wanted(**{"name": "n1", **given}))
        assert said in str(caught.value)
        assert house.registry.nodes.list() == before

    def test_the_servers_own_address(self, house: Appliance, monkeypatch: pytest.MonkeyPatch) -> None:
        own = {"br0": (IPv4Interface("10.77.0.5/24"),)}
        monkeypatch.setattr("bootsrv.appliance.checks.addresses", own.__getitem__)
        with pytest.raises(Invalid, match="own, on br0"):
            house.nodes.add(Wanted(name="n1", address="10.77.0.5"))
        house.nodes.add(Wanted(name="n1", address="10.77.0.6"))

    def test_localhost_is_nobodys_name(self, house: Appliance) -> None:
        with pytest.raises(Invalid, match="calls itself"):
            house.nodes.add(Wanted(name="LocalHost"))


class TestAdopt:
    def test_goes_on_by_itself(self, house: Appliance) -> None:
        machine = seen(house)
        node = house.nodes.adopt(MAC, Wanted(name="n1", image="debian@1", address="10.77.0.11"))
        assert (node.id, node.state) == (machine.id, NodeState.ARMED)
        assert node.firmware == "uefi"

    def test_into_a_name_that_waits_for_its_machine(self, house: Appliance) -> None:
        waiting = house.nodes.add(Wanted(name="n1", address="10.77.0.11", image="debian@1"))
        machine = seen(house)
        node = house.nodes.adopt(MAC, Wanted(name="n1"))
        assert (node.id, node.macs, node.address) == (waiting.id, (MAC,), IPv4Address("10.77.0.11"))
        assert node.armed is not None
        assert house.registry.nodes.get(machine.id) is None
        assert any(event.kind == "node.discovered" for event in house.watch.latest(node=node))

    def test_a_name_that_waits_keeps_its_method_and_gets_the_image_asked_for_now(
        self, house: Appliance
    ) -> None:
        house.nodes.add(Wanted(name="n1", address="10.77.0.11", method="static", image="debian@1"))
        seen(house)
        node = house.nodes.adopt(MAC, Wanted(name="n1", image="debian@2"))
        assert (node.method, node.address) == (AddressMethod.STATIC, IPv4Address("10.77.0.11"))
        assert node.armed is not None
        assert node.armed.image == "debian@2"

    def test_not_into_a_name_that_has_one(self, house: Appliance) -> None:
        house.nodes.add(Wanted(name="n1", macs=[OTHER]))
        seen(house)
        with pytest.raises(Conflict, match="name n1 is taken"):
            house.nodes.adopt(MAC, Wanted(name="n1"))
        assert len(house.nodes.unknown()) == 1

    def test_only_once(self, house: Appliance) -> None:
        seen(house)
        house.nodes.adopt(MAC, Wanted(name="n1"))
        with pytest.raises(Conflict, match="already registered as n1"):
            house.nodes.adopt(MAC, Wanted(name="n2"))

    def test_nobody(self, house: Appliance) -> None:
        with pytest.raises(NotFound, match="there is no node"):
            house.nodes.adopt(MAC, Wanted(name="n1"))

    def test_its_own_lease_is_no_obstacle(self, house: Appliance) -> None:
        seen(house)
        house.registry.leases.commit([Lease(IPv4Address("10.77.0.100"), MAC, None, 9e9)])
        assert house.nodes.adopt(MAC, Wanted(name="n1", address="10.77.0.100")).address


class TestRange:
    def test_names_and_addresses_count_up(self, house: Appliance) -> None:
        made = house.nodes.add_range("n", "08", "11", "10.77.0.20", Wanted(image="debian"))
        assert [(node.name, str(node.address)) for node in made] == [
            ("n08", "10.77.0.20"), ("n09", "10.77.0.21"), ("n10", "10.77.0.22"), ("n11", "10.77.0.23"),
        ]  # fmt: skip

    def test_all_or_none(self, house: Appliance) -> None:
        house.nodes.add(Wanted(name="x", address="10.77.0.22"))
        with pytest.raises(Conflict, match=r"10\.77\.0\.22 belongs to x"):
            house.nodes.add_range("n", "1", "9", "10.77.0.20")
        assert [node.name for node in house.nodes.list()] == ["x"]

    def test_past_the_end_of_the_subnet(self, house: Appliance) -> None:
        with pytest.raises(Invalid, match="broadcast"):
            house.nodes.add_range("n", "1", "9", "10.77.0.250")

    @pytest.mark.parametrize(("first", "last"), [("5", "1"), ("a", "b"), ("1", "99999"), ("", "")])
    def test_refuses(self, house: Appliance, first: str, last: str) -> None:
        with pytest.raises(Invalid):
            house.nodes.add_range("n", first, last)

    def test_macs_in_order(self, house: Appliance) -> None:
        made = house.nodes.add_range("n", "1", "3", None, Wanted(macs=[MAC, OTHER]))
        assert [node.macs for node in made] == [(MAC,), (OTHER,), ()]


class TestSet:
    def test_changes_only_what_is_said(self, house: Appliance) -> None:
        house.nodes.add(Wanted(name="n1", macs=[MAC], address="10.77.0.11", groups=["a"]))
        node = house.nodes.set("n1", Wanted(image="debian@1", options={"interface-mtu": 9000}))
        assert (node.image, node.address, node.groups, node.armed) == (
            "debian@1", IPv4Address("10.77.0.11"), ("a",), None,
        )  # fmt: skip
        node = house.nodes.set("n1", Wanted(name="n2", options={"interface-mtu": None}, clear=["address"]))
        assert (node.name, node.address, node.options) == ("n2", None, {})

    def test_unknown_machines_are_adopted_instead(self, house: Appliance) -> None:
        seen(house)
        with pytest.raises(Invalid, match="adopt it first"):
            house.nodes.set(MAC, Wanted(image="debian"))


class TestReimage:
    def test_arms_exactly_one(self, house: Appliance) -> None:
        house.nodes.add(Wanted(name="n1", image="debian@1"), arm=False)
        (node,) = house.deploys.reimage(house.nodes.select("n1"), "debian@2", wipe=True)
        assert node.armed is not None
        assert (node.armed.image, node.armed.wipe, node.image) == ("debian@2", True, "debian@2")

    def test_all_or_none(self, house: Appliance) -> None:
        house.nodes.add(Wanted(name="n1", image="debian"), arm=False)
        house.nodes.add(Wanted(name="n2"))
        with pytest.raises(Invalid, match="n2 has no image"):
            house.deploys.reimage(house.nodes.select("n1,n2"))
        assert house.nodes.show("n1").armed is None

    def test_not_while_imaging(self, house: Appliance) -> None:
        node = house.nodes.add(Wanted(name="n1", image="debian"))
        house.registry.nodes.save(lifecycle.reported(node, "deploy.started", {}))
        with pytest.raises(Conflict, match="right now"):
            house.deploys.reimage(house.nodes.select("n1"))
        with pytest.raises(Conflict, match="being imaged"):
            house.nodes.remove("n1")
        house.nodes.remove("n1", force=True)

    def test_retry_and_cancel(self, house: Appliance) -> None:
        node = house.nodes.add(Wanted(name="n1", image="debian"))
        with pytest.raises(Conflict, match="has not failed"):
            house.deploys.retry([node])
        house.registry.nodes.save(lifecycle.reported(node, "deploy.failed", {"error": "x"}))
        (node,) = house.deploys.retry([node])
        assert (node.state, node.error) == (NodeState.ARMED, None)
        (node,) = house.deploys.cancel([node])
        assert (node.state, node.armed) == (NodeState.REGISTERED, None)

    def test_a_failure_is_taken_back_while_the_disk_is_untouched(self, house: Appliance) -> None:
        node = house.nodes.add(Wanted(name="n1", image="debian"))
        house.registry.nodes.save(lifecycle.reported(node, "deploy.failed", {"error": "two disks"}))
        (node,) = house.deploys.cancel(house.nodes.select("n1"))
        assert (node.state, node.armed, node.error) == (NodeState.REGISTERED, None, None)
        with pytest.raises(Conflict, match="is not armed"):
            house.deploys.cancel([node])
        (node,) = house.deploys.reimage([node])
        node = lifecycle.reported(lifecycle.reported(node, "deploy.started", {}), "deploy.failed", {})
        house.registry.nodes.save(node)
        with pytest.raises(Conflict, match="can only be imaged"):
            house.deploys.cancel([node])

    def test_a_retry_writes_what_was_asked_for(self, house: Appliance) -> None:
        node = house.nodes.add(Wanted(name="n1", image="debian@1"))
        house.registry.nodes.save(lifecycle.reported(node, "deploy.failed", {}))
        house.nodes.set("n1", Wanted(image="debian"))
        (again,) = house.deploys.retry(house.nodes.select("n1"))
        assert again.armed is not None
        assert (again.armed.image, again.image) == ("debian@1", "debian")

    def test_an_arming_of_a_half_written_disk_is_not_taken_back(self, house: Appliance) -> None:
        node = lifecycle.reported(house.nodes.add(Wanted(name="n1", image="debian")), "deploy.started", {})
        house.registry.nodes.save(lifecycle.reported(node, "deploy.failed", {}))
        house.deploys.retry(house.nodes.select("n1"))
        with pytest.raises(Conflict, match="can only be imaged"):
            house.deploys.cancel(house.nodes.select("n1"))
        assert house.nodes.show("n1").armed is not None


class TestSelect:
    def test_groups_and_ranges(self, house: Appliance) -> None:
        house.nodes.add_range("n", "1", "4", None, Wanted(groups=["rack3"]))
        assert [node.name for node in house.nodes.select("@rack3")] == ["n1", "n2", "n3", "n4"]
        assert [node.name for node in house.nodes.select("@all,n1")] == ["n1", "n2", "n3", "n4"]
        house.nodes.set("n1", Wanted(macs=[MAC]))
        assert [node.name for node in house.nodes.select(f"n[1-2],{MAC}")] == ["n1", "n2"]
        with pytest.raises(NotFound, match="no group @x"):
            house.nodes.select("@x")
        with pytest.raises(NotFound, match="no node 'n5'"):
            house.nodes.select("n[3-5]")


class TestWatch:
    def test_explain(self, house: Appliance) -> None:
        house.groups.set_options("rack3", {"interface-mtu": 9000})
        node = house.nodes.add(
            Wanted(name="n1", macs=[MAC], address="10.77.0.11", image="debian", groups=["rack3"])
        )
        lines = {line.label: line.text for line in house.watch.explain(node)}
        assert "deploy" in lines["boots"]
        assert "debian@2" in lines["boots"]
        assert lines["address"].startswith("10.77.0.11, reserved in 10.77.0.0/24 (authoritative)")
        assert lines["option"] == "interface-mtu = 9000"

    def test_follow_gives_what_is_new(self, house: Appliance) -> None:
        batches = house.watch.follow(house.watch.last_event(), sleep=lambda _: None)
        house.nodes.add(Wanted(name="n1"))
        assert [event.kind for event in next(batches)] == ["node.registered"]
        assert next(batches) == []


class TestUsers:
    def test_the_first_password_is_told_once(self, house: Appliance) -> None:
        password = house.users.first_admin()
        assert password is not None
        assert house.users.check("admin", password)
        assert house.users.first_admin() is None

    def test_refuses(self, house: Appliance) -> None:
        with pytest.raises(Invalid):
            house.users.set_password("admin", "short")
        with pytest.raises(Invalid):
            house.users.set_password("a b", "long enough")

    def test_tokens(self, house: Appliance) -> None:
        house.users.set_password("eve", "long enough")
        token = house.users.issue_token("eve")
        assert house.users.of_token(token) == "eve"
        house.users.remove("eve")
        assert house.users.of_token(token) is None
        with pytest.raises(NotFound):
            house.users.issue_token("eve")


class TestSeveralDisks:
    DISKS: ClassVar = [
        {"path": "/dev/sda", "size": 2 << 40, "transport": "ata", "removable": False},
        {"path": "/dev/sdb", "size": 8 << 30, "transport": "ata", "removable": False},
        {"path": "/dev/sdc", "size": 1 << 30, "transport": "usb", "removable": True},
    ]

    def explained(
        self, house: Appliance, disks: list[Any], firmware: str, disk: str | None = None
    ) -> list[str]:
        node = house.nodes.add(Wanted(name="n1", macs=[MAC], disk=disk))
        node = house.registry.nodes.save(replace(node, facts={"disks": disks}, firmware=firmware))
        return [line.text for line in house.watch.explain(node) if line.label == "disk"]

    def test_a_bios_boots_its_first(self, house: Appliance) -> None:
        (text,) = self.explained(house, self.DISKS, "bios")
        assert "imaging writes the smallest disk that the image fits on" in text
        assert "/dev/sda (2048.0 GiB), /dev/sdb (8.0 GiB)" in text
        assert "A BIOS boots its own first hard disk" in text

    def test_uefi_boots_what_was_written(self, house: Appliance) -> None:
        (text,) = self.explained(house, self.DISKS, "uefi", "/dev/sda")
        assert text.startswith("imaging writes /dev/sda; ")
        assert "BIOS" not in text

    def test_one_disk_needs_no_word(self, house: Appliance) -> None:
        assert self.explained(house, [self.DISKS[0], self.DISKS[2], 5], "bios") == []
