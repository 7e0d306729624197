"""Whose boot script it is: only the machine itself gets it, and a stranger's question changes nothing."""

from __future__ import annotations

from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest

from bootsrv.appliance.appliance import Appliance
from bootsrv.appliance.nodes import Wanted
from bootsrv.config import Config
from bootsrv.payload import catalogue
from bootsrv.peers import Peers
from bootsrv.rightful import PATIENCE, TELL_SECONDS
from bootsrv.site import HouseSite
from pxe.dhcp.ports import Lease
from pxe.http.ports import Denied, Wait

FIRST, SECOND, OTHER = "52:54:00:00:00:01", "52:54:00:00:00:02", "52:54:00:00:00:66"


class Wire:
    """The kernel's neighbours and our leases, around a site."""

    def __init__(self, house: Appliance, config: Config, clock: Any) -> None:
        for path in (config.payload_dir / "imager/vmlinuz", config.run_dir / "initrd.img"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"x")
        self.house, self.clock, self.arp = house, clock, config.data_dir / "arp"
        self.neighbours()
        peers = Peers(house.registry, self.arp, clock)
        self.site = HouseSite(config, house.registry, house.nodes._images, catalogue(config), peers, clock)

    def neighbours(self, **known: str) -> None:
        rows = [f"10.77.0.{at.removeprefix('a')} 0x1 0x2 {mac} * br0\n" for at, mac in known.items()]
        self.arp.write_text("IP address HW type Flags HW address Mask Device\n" + "".join(rows))

    def lease(self, address: str, mac: str) -> None:
        ends = self.clock.now + 600
        self.house.registry.leases.commit([Lease(IPv4Address(address), mac, None, ends)])

    def ask(self, peer: str, mac: str = FIRST, waited: float = PATIENCE) -> str:
        answer = self.site.boot_script(mac, {"server": "10.77.0.1"}, peer, waited=waited)
        if isinstance(answer, Denied):
            return str(answer.status)
        return "wait" if isinstance(answer, Wait) else "script"


@pytest.fixture
def wire(house: Appliance, config: Config, clock: Any) -> Wire:
    house.nodes.add(Wanted(name="n1", macs=[FIRST, SECOND], image="debian@1"))
    return Wire(house, config, clock)


def test_the_machine_itself_by_any_of_its_cards(wire: Wire) -> None:
    wire.neighbours(a100=FIRST, a101=SECOND)
    assert wire.ask("10.77.0.100") == "script"
    assert wire.ask("10.77.0.101") == "script"


def test_our_lease_is_enough(wire: Wire) -> None:
    """Many machines behind one card, as a bridge that hides them or a simulator has it."""
    wire.neighbours(a102=OTHER)
    wire.lease("10.77.0.102", FIRST)
    assert wire.ask("10.77.0.102") == "script"


def test_a_stranger_is_refused_and_changes_nothing(wire: Wire) -> None:
    wire.neighbours(a66=OTHER)
    wire.lease("10.77.0.67", OTHER)
    before = wire.house.nodes.show("n1")
    for _ in range(10):
        assert wire.ask("10.77.0.66") == "403"
        assert wire.ask("10.77.0.67", waited=0.0) == "403"
        assert wire.ask("10.77.0.66", "52:54:00:00:00:99") == "403"
    assert wire.house.nodes.show("n1") == before
    assert not wire.house.nodes.unknown()
    alarms = [event for event in wire.house.watch.events(node=before) if event.kind == "alarm.foreign"]
    assert [event.data["by"] for event in alarms] == [OTHER, OTHER]
    assert alarms[0].text == f"10.77.0.66 ({OTHER}) asked for the boot script of this machine: refused"
    assert wire.house.watch.boots(before) == []
    wire.clock.now += TELL_SECONDS
    wire.ask("10.77.0.66")
    assert len([e for e in wire.house.watch.events(node=before) if e.kind == "alarm.foreign"]) == 3


@pytest.mark.parametrize("peer", ["127.0.0.1", "fe80::1", "10.77.0.200"])
def test_without_evidence_nothing_is_told(wire: Wire, peer: str) -> None:
    assert wire.ask(peer) == "403"


def test_a_lease_that_is_not_on_record_yet_is_waited_for(wire: Wire) -> None:
    wire.neighbours(a102=OTHER)
    assert wire.ask("10.77.0.102", waited=0.0) == "wait"
    wire.lease("10.77.0.102", FIRST)
    assert wire.ask("10.77.0.102", waited=0.5) == "script"


class TestBehindARouter:
    def test_its_registered_address(self, wire: Wire) -> None:
        wire.house.nodes.set("n1", Wanted(address="10.77.0.11"))
        assert wire.ask("10.77.0.11") == "script"
        wire.neighbours(a11=OTHER)  # but here, somebody else has taken it
        assert wire.ask("10.77.0.11") == "403"

    def test_the_address_of_its_last_exchange_with_another_server(self, wire: Wire) -> None:
        node = wire.house.nodes.show("n1")

        def heard(address: str) -> None:
            data = {"address": address}
            wire.house.registry.events.add(wire.clock.now, "dhcp.request", "takes", FIRST, node.id, data)

        heard("10.77.0.120")
        assert wire.ask("10.77.0.120") == "script"
        heard("10.77.0.121")
        assert wire.ask("10.77.0.120") == "403"


def test_the_kernels_table_is_read(tmp_path: Path, house: Appliance, clock: Any) -> None:
    table = tmp_path / "arp"
    table.write_text(
        "IP address       HW type     Flags       HW address            Mask     Device\n"
        "10.77.0.5        0x1         0x0         00:00:00:00:00:00     *        br0\n"
        "10.77.0.6        0x1         0x2         52:54:00:00:00:06     *        br0\n"
    )
    peers = Peers(house.registry, table, clock)
    assert peers.neighbour("10.77.0.5") is None
    assert peers.neighbour("10.77.0.6") == "52:54:00:00:00:06"
