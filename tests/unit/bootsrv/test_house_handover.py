"""autoexec.ipxe: only for a machine we know by its address, and only ever the way to its own script."""

from __future__ import annotations

from ipaddress import IPv4Interface
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from bootsrv.appliance.appliance import Appliance
from bootsrv.appliance.nodes import Wanted
from bootsrv.config import Config
from bootsrv.handover import Handover
from bootsrv.payload import catalogue
from bootsrv.peers import Peers
from bootsrv.registry.registry import Registry

MAC = "52:54:00:00:00:01"
OURS = [IPv4Interface("192.0.2.1/24"), IPv4Interface("10.77.0.1/24")]
ARP = "IP address HW type Flags HW address Mask Device\n{} 0x1 0x2 52:54:00:00:00:09 * br0\n"


@pytest.fixture
def arp(tmp_path: Path) -> Path:
    return tmp_path / "arp"


@pytest.fixture
def handover(config: Config, registry: Registry, arp: Path, clock: Any) -> Handover:
    return Handover(config, registry, Peers(registry, arp, clock), lambda: OURS)


def text(found: object) -> str:
    assert isinstance(found, bytes)
    return found.decode()


def test_leads_to_the_script_of_the_machine_at_this_address(handover: Handover, house: Appliance) -> None:
    house.nodes.add(Wanted(name="n1", macs=[MAC], address="10.77.0.11"))
    script = text(handover.find("autoexec.ipxe", "10.77.0.11"))
    assert "http://10.77.0.1:8080/boot/52-54-00-00-00-01/script.ipxe?server=10.77.0.1 " in script
    assert MAC in script
    assert text(handover.find("loaders/AUTOEXEC.ipxe", "10.77.0.11")) == script


def test_beside_another_dhcp_server_the_neighbour_table_knows(handover: Handover, arp: Path) -> None:
    arp.write_text(ARP.format("10.77.0.50"))
    assert "52-54-00-00-00-09" in text(handover.find("autoexec.ipxe", "10.77.0.50"))


@pytest.mark.parametrize("peer", ["10.77.0.12", "10.99.0.11", "127.0.0.1", "fd00::1"])
def test_a_machine_we_cannot_name_or_reach_is_told_nothing(
    handover: Handover, house: Appliance, arp: Path, peer: str
) -> None:
    arp.write_text(ARP.format("10.99.0.11"))
    house.nodes.add(Wanted(name="n1", macs=[MAC], address="10.77.0.11"))
    assert handover.find("autoexec.ipxe", peer) is None


def test_a_machine_with_a_boot_file_of_its_own_is_not_directed(handover: Handover, house: Appliance) -> None:
    house.nodes.add(
        Wanted(name="n1", macs=[MAC], address="10.77.0.11", options={"bootfile-name": "their-ipxe.efi"})
    )
    assert handover.find("autoexec.ipxe", "10.77.0.11") is None


def test_nothing_else_is_made_here(handover: Handover, house: Appliance) -> None:
    house.nodes.add(Wanted(name="n1", macs=[MAC], address="10.77.0.11"))
    assert handover.find("snponly.efi", "10.77.0.11") is None


def test_asking_changes_nothing_and_counts_nothing(handover: Handover, house: Appliance) -> None:
    house.nodes.add(Wanted(name="n1", macs=[MAC], address="10.77.0.11", image="debian@1"))
    before = house.nodes.show("n1")
    for _ in range(3):
        assert handover.find("autoexec.ipxe", "10.77.0.11")
    assert house.nodes.show("n1") == before


def test_a_machine_that_is_left_alone_stays_so(
    config: Config, registry: Registry, arp: Path, clock: Any
) -> None:
    arp.write_text(ARP.format("10.77.0.50"))
    quiet = structs.replace(config, nodes=structs.replace(config.nodes, discover=False))
    handover = Handover(quiet, registry, Peers(registry, arp, clock), lambda: OURS)
    assert handover.find("autoexec.ipxe", "10.77.0.50") is None


def test_it_is_found_in_the_catalogue(handover: Handover, config: Config, house: Appliance) -> None:
    house.nodes.add(Wanted(name="n1", macs=[MAC], address="10.77.0.11"))
    files = catalogue(config, [handover])
    entry = files.find("/autoexec.ipxe", "10.77.0.11")
    assert entry is not None
    assert entry.size == len(handover.find("autoexec.ipxe", "10.77.0.11") or b"")
    assert files.find("autoexec.ipxe", "10.77.0.99") is None
