"""Records that the administrator writes: checked at start, answered beside the nodes', read by dnspython."""

from __future__ import annotations

from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import dns.message
import dns.rcode
import pytest

from bootsrv.appliance.appliance import Appliance
from bootsrv.appliance.nodes import Wanted
from bootsrv.config import Config, parse
from bootsrv.dnsview import HouseNames, zones
from bootsrv.errors import ConfigError
from pxe.dns import wire
from pxe.dns.resolver import Forward, Resolver

RECORDS = [
    {"name": "@", "type": "TXT", "data": "v=spf1 -all"},
    {"name": "_http._tcp", "type": "SRV", "data": "0 5 80 n1"},
    {"name": "WWW", "type": "CNAME", "data": "n1"},
    {"name": "far", "type": "CNAME", "data": "Example.ORG."},
    {"name": "n1", "type": "AAAA", "data": "FD00::11", "ttl": 7},
    {"name": "printer", "type": "A", "data": "10.77.0.5"},
    {"name": "printer", "type": "A", "data": "10.77.0.6"},
    {"name": "n2", "type": "CNAME", "data": "n1"},
]


@pytest.fixture
def config(tmp_path: Path) -> Config:
    subnet = {"cidr": "10.77.0.0/24", "mode": "authoritative"}
    table = {"data_dir": str(tmp_path), "domain": "cluster.test", "dns": {"records": RECORDS}}
    return parse({**table, "subnets": [subnet]}, tmp_path / "f")


@pytest.fixture
def resolver(house: Appliance, config: Config, clock: Any) -> Resolver:
    house.nodes.add(Wanted(name="n1", macs=["52:54:00:00:00:01"], address="10.77.0.11"))
    house.nodes.add(Wanted(name="n2", macs=["52:54:00:00:00:02"], address="10.77.0.12"))
    names = HouseNames(config, house.registry, lambda: [IPv4Address("10.77.0.1")], clock)
    return Resolver(zones(config), names)


def ask(resolver: Resolver, name: str, kind: str) -> dns.message.Message:
    query = wire.parse(dns.message.make_query(name, kind).to_wire())
    answer = resolver.resolve(query, "10.77.0.50")
    assert not isinstance(answer, Forward)
    return dns.message.from_wire(wire.build(query, answer, 1232))


def texts(message: dns.message.Message) -> list[str]:
    return [line for rrset in message.answer for line in rrset.to_text().splitlines()]


@pytest.mark.parametrize(
    ("name", "kind", "lines"),
    [
        ("cluster.test", "TXT", ['cluster.test. 60 IN TXT "v=spf1 -all"']),
        ("_http._tcp.cluster.test", "SRV", ["_http._tcp.cluster.test. 60 IN SRV 0 5 80 n1.cluster.test."]),
        ("www.cluster.test", "A", ["www.cluster.test. 60 IN CNAME n1.cluster.test.",
                                   "n1.cluster.test. 60 IN A 10.77.0.11"]),
        ("far.cluster.test", "A", ["far.cluster.test. 60 IN CNAME example.org."]),
        ("n1.cluster.test", "AAAA", ["n1.cluster.test. 7 IN AAAA fd00::11"]),
        ("n1.cluster.test", "A", ["n1.cluster.test. 60 IN A 10.77.0.11"]),
        ("printer.cluster.test", "A", ["printer.cluster.test. 60 IN A 10.77.0.5",
                                       "printer.cluster.test. 60 IN A 10.77.0.6"]),
        ("n2.cluster.test", "A", ["n2.cluster.test. 60 IN A 10.77.0.12"]),
    ],
)  # fmt: skip
def test_answers(resolver: Resolver, name: str, kind: str, lines: list[str]) -> None:
    message = ask(resolver, name, kind)
    assert (message.rcode(), texts(message)) == (dns.rcode.NOERROR, lines)


def test_a_service_brings_the_addresses_of_its_machine(resolver: Resolver) -> None:
    more = ask(resolver, "_http._tcp.cluster.test", "SRV").additional
    assert {rdata.to_text() for rrset in more for rdata in rrset} == {"10.77.0.11", "fd00::11"}


def test_what_is_above_a_name_exists_and_what_is_beside_does_not(resolver: Resolver) -> None:
    above, beside = ask(resolver, "_tcp.cluster.test", "A"), ask(resolver, "_udp.cluster.test", "A")
    assert (above.rcode(), above.answer) == (dns.rcode.NOERROR, [])
    assert beside.rcode() == dns.rcode.NXDOMAIN


BAD = [
    ({"name": "a b", "type": "A", "data": "10.0.0.1"}, "[0].name"),
    ({"name": "x.other.org.", "type": "A", "data": "10.0.0.1"}, "[0].name"),
    ({"name": "x", "type": "MX", "data": "10 y"}, "[0].type"),
    ({"name": "x", "type": "A", "data": "fd00::1"}, "[0].data"),
    ({"name": "x", "type": "AAAA", "data": "fe80::1%eth0"}, "[0].data"),
    ({"name": "x", "type": "SRV", "data": "0 0 99999 y"}, "[0].data"),
    ({"name": "x", "type": "SRV", "data": "0 0 80"}, "[0].data"),
    ({"name": "x", "type": "TXT", "data": "x" * 1001}, "[0].data"),
    ({"name": "x", "type": "CNAME", "data": "-"}, "[0].data"),
    ({"name": "@", "type": "CNAME", "data": "y"}, "[0].name"),
    ({"name": "x", "type": "A", "data": "10.0.0.1", "ttl": -1}, "[0].ttl"),
    ({"name": "x", "type": "A", "data": "10.0.0.1", "TTL": 1}, "TTL"),
]


@pytest.mark.parametrize(("row", "key"), BAD)
def test_what_cannot_be_answered_is_refused_at_start(row: dict[str, Any], key: str) -> None:
    with pytest.raises(ConfigError, match=r"f: key dns\.records") as refused:
        parse({"domain": "cluster.test", "dns": {"records": [row]}}, Path("f"))
    assert key in str(refused.value)


def test_an_alias_stands_alone_and_a_domain_is_needed() -> None:
    rows = [{"name": "x", "type": "CNAME", "data": "y"}, {"name": "X", "type": "A", "data": "10.0.0.1"}]
    for both in (rows, rows[::-1]):
        with pytest.raises(ConfigError, match=r"records\[1\].name: .* is an alias"):
            parse({"domain": "cluster.test", "dns": {"records": both}}, Path("f"))
    with pytest.raises(ConfigError, match=r"dns\.records: needs a `domain`"):
        parse({"dns": {"records": rows[:1]}}, Path("f"))
