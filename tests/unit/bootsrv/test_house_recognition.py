"""A machine whose MAC nobody registered: found by what else is known of it, and never two machines in the
list."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from bootsrv.appliance.appliance import Appliance
from bootsrv.appliance.nodes import Wanted
from bootsrv.cli.main import cli
from bootsrv.config import Config
from bootsrv.dhcpview import HouseBoots
from bootsrv.knownnodes import KnownNodes
from bootsrv.model import Node
from bootsrv.nodeapi import NodeApi
from bootsrv.payload import catalogue
from bootsrv.peers import Peers
from bootsrv.recorder import Recorder
from bootsrv.site import HouseSite
from pxe.dhcp.ports import Client, Stage
from pxe.http.ports import NodeRequest, Reply

FIRST, SECOND, OTHER = "52:54:00:00:00:01", "52:54:00:00:00:02", "52:54:00:00:00:03"
UUID = "4c4c4544-0031-3510-8054-b4c04f4d4d32"
SERVER = IPv4Address("10.77.0.1")


class Room:
    """A service's parts, asked by machines that are all next to us."""

    def __init__(self, house: Appliance, config: Config, clock: Any) -> None:
        for path in (config.payload_dir / "imager/vmlinuz", config.run_dir / "initrd.img"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"x")
        self.house, self.arp = house, config.data_dir / "arp"
        peers = Peers(house.registry, self.arp, clock)
        self.recorder = Recorder(house.registry, peers, clock)
        self.recorder.start()
        self._boots = HouseBoots(config, KnownNodes(house.registry), self.recorder)
        images = house.nodes._images
        self._site = HouseSite(config, house.registry, images, catalogue(config), peers, clock)
        self._api = NodeApi(config, house.registry, images, clock)

    def dhcp(self, client: Client) -> str:
        """Firmware asks; gives the reason of what it is told."""
        found = self._boots.decide(client, SERVER)
        assert found is not None
        return found.reason

    def script(self, mac: str, **query: str) -> str:
        row = f"10.77.0.100 0x1 0x2 {mac} * br0\n"
        self.arp.write_text("IP address HW type Flags HW address Mask Device\n" + row)
        text = self._site.boot_script(mac, {"server": "10.77.0.1", **query}, "10.77.0.100")
        assert isinstance(text, str)
        return text

    def report(self, mac: str, *cards: object, **dmi: str) -> None:
        """The imager on a machine reports its inventory."""
        token = self.house.registry.tokens.issue("boot", mac, 1_700_000_000.0, 600.0, {})
        interfaces = [card if isinstance(card, dict) else {"mac": card} for card in cards]
        body = json.dumps({"interfaces": interfaces, "dmi": dmi})
        request = NodeRequest("POST", "facts", {}, {}, body.encode(), "10.77.0.100", token)
        answer = self._api.handle(request)
        assert isinstance(answer, Reply) and answer.status == 200, answer

    def said(self, node: Node, kind: str) -> list[str]:
        return [event.text for event in self.house.watch.events(node=node) if event.kind == kind]


@pytest.fixture
def room(house: Appliance, config: Config, clock: Any) -> Iterator[Room]:
    made = Room(house, config, clock)
    yield made
    made.recorder.close()


def until(condition: Callable[[], object], seconds: float = 20.0) -> None:
    ends = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < ends
        time.sleep(0.01)


def test_a_node_with_nothing_but_a_uuid_boots(room: Room, house: Appliance) -> None:
    node = house.nodes.add(Wanted(name="n1", image="debian@1"))
    house.identities.set(node, [("uuid", UUID)])
    assert "armed for debian@1" in room.dhcp(Client(FIRST, Stage.FIRMWARE, uuid=UUID, arch=7))
    until(lambda: house.nodes.show("n1").macs)
    assert "bootsrv.purpose=deploy" in room.script(FIRST)
    assert house.nodes.show("n1").macs == (FIRST,)
    assert not house.nodes.unknown()
    assert room.said(node, "node.merged") == [f"{FIRST} is one of its cards (known by its uuid)"]


def test_an_unknown_machine_becomes_the_node_whose_uuid_it_has(room: Room, house: Appliance) -> None:
    assert "purpose=discover" in room.script(FIRST)
    node = house.nodes.add(Wanted(name="n1", image="debian@1"))
    house.identities.set(node, [("uuid", UUID)])
    room.dhcp(Client(FIRST, Stage.FIRMWARE, uuid=UUID, arch=7))
    until(lambda: not house.nodes.unknown())
    assert "purpose=deploy" in room.script(FIRST)
    assert "node.discovered" in [event.kind for event in house.watch.events(node=node)]


def test_a_place_makes_the_machine_the_node_for_as_long_as_it_is_there(
    room: Room, house: Appliance, config: Config
) -> None:
    node = house.nodes.add(Wanted(name="n1", macs=[FIRST], image="debian@1"))
    house.nodes.add(Wanted(name="n2", macs=[SECOND]))
    house.identities.set(node, [("circuit-id", "port7")])
    room.dhcp(Client(SECOND, Stage.FIRMWARE, arch=7, circuit_id=b"port7"))
    until(lambda: room.said(node, "node.recognised"))
    assert "n1: armed for debian@1" in room.script(SECOND)
    assert house.nodes.show("n2").macs == (SECOND,)
    assert house.nodes.show("n1").macs == (FIRST,)
    room.dhcp(Client(SECOND, Stage.FIRMWARE, arch=7))
    until(lambda: "n2: registered" in room.script(SECOND))


class TestSerial:
    def test_a_machine_nobody_knows_is_asked_for_it(self, room: Room, house: Appliance) -> None:
        node = house.nodes.add(Wanted(name="n1", image="debian@1"))
        house.identities.set(node, [("serial", "CZ3-112")])
        asked = room.script(FIRST, arch="7")
        assert "&serial=${serial:uristring} " in asked
        assert "arch=7" in asked
        assert not house.nodes.unknown()
        assert "purpose=discover" in room.script(OTHER, serial="unknown", retry="1")
        assert "purpose=deploy" in room.script(FIRST, serial="cz3-112", retry="1")
        assert house.nodes.show("n1").macs == (FIRST,)

    def test_nobody_else_can_claim_it_then(self, room: Room, house: Appliance) -> None:
        node = house.nodes.add(Wanted(name="n1", macs=[FIRST], image="debian@1"))
        house.identities.set(node, [("serial", "cz3-112")])
        assert "purpose=discover" in room.script(OTHER, serial="cz3-112")
        room.report(OTHER, OTHER, serial="CZ3-112")
        assert house.nodes.show("n1").macs == (FIRST,)

    def test_nobody_is_asked_where_no_node_has_one(self, room: Room, house: Appliance) -> None:
        node = house.nodes.add(Wanted(name="n1"))
        house.identities.set(node, [("serial", "CZ3-112")])
        house.nodes.remove("n1")
        assert "serial" not in room.script(FIRST)


class TestInventory:
    def test_a_second_card_is_no_second_machine(self, room: Room, house: Appliance) -> None:
        node = house.nodes.add(Wanted(name="n1", macs=[FIRST]))
        room.script(SECOND)
        assert len(house.nodes.unknown()) == 1
        room.report(FIRST, FIRST, SECOND)
        assert not house.nodes.unknown()
        assert house.nodes.show(SECOND).name == "n1"
        assert room.said(node, "node.merged") == [f"{SECOND} is one of its cards (reported by its imager)"]
        room.report(FIRST, FIRST, SECOND)
        assert len(room.said(node, "node.merged")) == 1

    def test_the_second_card_boots_first(self, room: Room, house: Appliance) -> None:
        house.nodes.add(Wanted(name="n1", macs=[FIRST]))
        room.report(FIRST, FIRST, uuid=UUID)
        room.script(SECOND)
        room.report(SECOND, FIRST, SECOND, uuid=UUID)
        assert house.nodes.show("n1").macs == (FIRST, SECOND)
        assert house.nodes.show("n1").facts["dmi"] == {"uuid": UUID}
        assert not house.nodes.unknown()

    def test_a_made_up_inventory_opens_nothing(self, room: Room, house: Appliance) -> None:
        node = house.nodes.add(Wanted(name="n1", macs=[FIRST], image="debian@1"))
        house.identities.set(node, [("uuid", UUID)])
        room.script(OTHER)
        room.report(OTHER, FIRST, OTHER, uuid=UUID)
        assert house.nodes.show("n1").macs == (FIRST,)
        assert "purpose=discover" in room.script(OTHER)

    def test_a_card_that_moved_does_not_take_the_node_along(self, room: Room, house: Appliance) -> None:
        node = house.nodes.add(Wanted(name="n1", macs=[FIRST]))
        room.report(FIRST, FIRST, uuid=UUID)
        room.script(SECOND)
        room.report(SECOND, SECOND, FIRST, uuid=UUID.replace("4c4c", "5d5d"))
        assert house.nodes.show("n1").macs == (FIRST,)
        (other,) = house.nodes.unknown()
        assert other.macs == (SECOND,)
        (conflict,) = room.said(other, "node.conflict")
        assert conflict.startswith(f"its card {FIRST} is registered as one of n1: left there")
        assert house.nodes.show(f"#{node.id}").macs == (FIRST,)

    def test_two_cards_of_an_unknown_machine(self, room: Room, house: Appliance) -> None:
        for mac in (FIRST, SECOND):
            room.script(mac)
        assert len(house.nodes.unknown()) == 2
        room.report(SECOND, FIRST, SECOND)
        (one,) = house.nodes.unknown()
        assert set(one.macs) == {FIRST, SECOND}

    def test_what_is_no_card_of_its_own_is_left_out(self, room: Room, house: Appliance) -> None:
        house.nodes.add(Wanted(name="n1", macs=[FIRST]))
        processor = {"mac": OTHER, "driver": "cdc_ether"}
        odd = [None, 5, {"mac": None}, {"mac": ["x"]}, {"mac": "01:00:5e:00:00:01"}, {"mac": "0" * 12}]
        room.report(FIRST, processor, *({"mac": x} if not isinstance(x, dict) else x for x in odd))
        assert house.nodes.show("n1").macs == (FIRST,)


def test_on_the_command_line(house: Appliance, config: Config, tmp_path: Path) -> None:
    config.path.write_text(f'data_dir = "{config.data_dir}"\n')

    def run(*words: str) -> Any:
        done = CliRunner().invoke(cli, ["--config", str(config.path), "node", *words])
        assert done.exit_code == 0, (done.output, done.exception)
        return json.loads(done.stdout) if "--json" in words else done.stdout

    run("add", "n1", "--identity", f"uuid={UUID}")
    run("set", "n1", "--identity", "circuit-id=0x00ff", "--identity", "serial=CZ3 112")
    known = {"circuit-id": ["0x00ff"], "serial": ["cz3 112"], "uuid": [UUID]}
    assert run("show", "n1", "--json")["identities"] == known
    assert f"uuid={UUID}" in run("show", "n1")
    run("set", "n1", "--clear", "identities", "--identity", "remote-id=sw1")
    assert run("show", "n1", "--json")["identities"] == {"remote-id": ["sw1"]}
