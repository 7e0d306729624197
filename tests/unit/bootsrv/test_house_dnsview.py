"""The registry as DNS sees it."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from typing import Any

import pytest

from bootsrv.appliance.appliance import Appliance
from bootsrv.appliance.nodes import Wanted
from bootsrv.config import Config
from bootsrv.dnsview import HouseNames, zones
from pxe.dhcp.ports import Lease
from pxe.dns.ports import Record

MAC = "52:54:00:00:00:01"
SERVER = IPv4Address("10.77.0.1")


@pytest.fixture
def names(house: Appliance, config: Config, clock: Any) -> HouseNames:
    return HouseNames(config, house.registry, lambda: [SERVER], clock)


def a(address: str) -> tuple[Record, ...]:
    return (Record("A", address),)


def test_nodes_and_the_server(house: Appliance, names: HouseNames) -> None:
    house.nodes.add(Wanted(name="n1", macs=[MAC], address="10.77.0.11"))
    house.nodes.add(Wanted(name="n2"))
    assert names.lookup("n1.cluster.test") == a("10.77.0.11")
    assert names.lookup("n2.cluster.test") == ()
    assert names.lookup("n3.cluster.test") is None
    assert names.lookup("cluster.test") == ()
    assert names.lookup("bootsrv.cluster.test") == a("10.77.0.1")
    assert names.pointer(IPv4Address("10.77.0.11")) == "n1.cluster.test"
    assert names.pointer(SERVER) == "bootsrv.cluster.test"
    assert names.pointer(IPv4Address("10.77.0.12")) is None
    assert names.pointer(IPv6Address("::1")) is None


def test_a_lease_is_the_address_of_a_dynamic_node(house: Appliance, names: HouseNames, clock: Any) -> None:
    house.nodes.add(Wanted(name="n1", macs=[MAC]))
    house.registry.leases.commit([Lease(IPv4Address("10.77.0.100"), MAC, None, clock.now + 60)])
    assert names.lookup("n1.cluster.test") == a("10.77.0.100")
    assert names.pointer(IPv4Address("10.77.0.100")) == "n1.cluster.test"
    clock.now += 61
    assert names.lookup("n1.cluster.test") == ()


def test_the_revision_follows_names_and_nothing_else(house: Appliance, names: HouseNames, clock: Any) -> None:
    def moved(what: Any) -> bool:
        before = names.revision()
        what()
        return names.revision() != before

    assert moved(lambda: house.nodes.add(Wanted(name="n1", macs=[MAC], address="10.77.0.11")))
    assert moved(lambda: house.nodes.set("n1", Wanted(address="10.77.0.12")))
    assert not moved(lambda: house.nodes.set("n1", Wanted(disk="/dev/sda")))
    assert not moved(lambda: house.registry.events.add(1.0, "x.y", "", MAC, None))
    lease = Lease(IPv4Address("10.77.0.100"), MAC, None, clock.now + 60)
    assert moved(lambda: house.registry.leases.commit([lease]))
    assert not moved(lambda: house.registry.leases.commit([lease]))
    assert moved(lambda: house.nodes.remove("n1"))


def test_a_lease_has_the_name_that_dhcp_gave_it(house: Appliance, names: HouseNames, clock: Any) -> None:
    def lease(number: int, hostname: str) -> None:
        address, mac = IPv4Address(f"10.77.0.{number}"), f"52:54:00:00:01:{number:02x}"
        house.registry.leases.commit([Lease(address, mac, None, clock.now + 60, hostname)])

    lease(100, "laptop")
    lease(101, "")
    lease(102, "Some.Thing from before")
    assert names.lookup("laptop.cluster.test") == a("10.77.0.100")
    assert names.pointer(IPv4Address("10.77.0.100")) == "laptop.cluster.test"
    assert names.lookup(".cluster.test") is None
    assert [names.pointer(IPv4Address(f"10.77.0.{number}")) for number in (101, 102)] == [None, None]
    before = names.revision()
    lease(100, "tablet")
    assert names.revision() != before
    assert names.lookup("laptop.cluster.test") is None
    house.nodes.add(Wanted(name="tablet", address="10.77.0.11"))
    assert names.lookup("tablet.cluster.test") == a("10.77.0.11")
    clock.now += 61
    assert names.pointer(IPv4Address("10.77.0.100")) is None


def test_zones(config: Config) -> None:
    found = zones(config)
    assert (found.domain, found.server) == ("cluster.test", "bootsrv.cluster.test")
    assert found.reverse() == ("0.77.10.in-addr.arpa",)
