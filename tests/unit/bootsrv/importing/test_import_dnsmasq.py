"""dnsmasq.conf: a real-world shaped file, tags, and the law that nothing is dropped in silence."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bootsrv.importing import dnsmasq
from bootsrv.importing.imported import Imported, Kind
from pxe.dhcp.subnet import build_subnet

DATA = Path(__file__).parent / "data"


def read(text: str) -> Imported:
    return dnsmasq.read(text, "dnsmasq.conf")


def lost(found: Imported) -> list[int]:
    return [note.line for note in found.notes if note.kind is Kind.LOST]


@pytest.fixture(scope="module")
def office() -> Imported:
    return read((DATA / "office.dnsmasq.conf").read_text())


def test_subnets_of_the_office(office: Imported) -> None:
    tables = [subnet.table() for subnet in office.subnets]
    assert tables[:2] == [
        {
            "cidr": "192.168.10.0/24",
            "mode": "authoritative",
            "pools": ["192.168.10.50-192.168.10.150"],
            "lease_seconds": 43200,
        },
        {
            "cidr": "10.99.0.0/16",
            "mode": "authoritative",
            "pools": ["10.99.0.10-10.99.0.20", "10.99.1.1-10.99.1.255"],
            "routers": ["10.99.0.1"],
            "lease_seconds": 2700,
            "options": {"ntp-servers": ["10.99.0.2", "10.99.0.3"]},
        },
    ]
    assert [(table["cidr"], table["mode"], table.get("unknown", True)) for table in tables[2:]] == [
        ("172.16.3.0/24", "authoritative", False),
        ("172.20.0.0/24", "proxy", True),
    ]
    for table in tables:
        build_subnet(table)


def test_machines_of_the_office(office: Imported) -> None:
    rows = [(node.name, len(node.macs), str(node.address), node.groups) for node in office.nodes]
    assert rows == [
        ("printer", 1, "192.168.10.5", ()),
        ("rig1", 2, "10.99.0.30", ("bench",)),
        ("rig2", 1, "None", ("bench",)),
        ("node-01020304", 0, "192.168.10.9", ()),
        ("node-020000001006", 1, "None", ()),
    ]
    assert office.nodes[3].identities == (("client-id", "0x01020304"),)
    assert [(group.name, group.options) for group in office.groups] == [("bench", {"interface-mtu": 9000})]
    assert office.nodes[2].options == {"dhcp-lease-time": 2700}


def test_the_whole_appliance(office: Imported) -> None:
    assert office.domain == "office.example"
    assert office.interfaces == ("eth0", "eth1")
    assert office.options["classless-static-routes"] == [
        "192.168.20.0/24 via 192.168.10.2",
        "10.0.0.0/8 via 192.168.10.3",
    ]
    assert office.options["option-224"] == "0a:01:02:03"
    assert office.options["pxelinux-magic"] == "f1:00:74:7e"
    assert office.options["tftp-server-address"] == ["192.168.10.2"]


def test_every_line_of_the_office_that_is_lost_is_named(office: Imported) -> None:
    assert lost(office) == [7, 16, 22, 24, 25, 28, 31, 35, 37, 38, 41, 42, 45, 47, 48, 49]


@pytest.mark.parametrize(
    ("line", "name", "value"),
    [
        ("dhcp-option=3,10.0.0.1", "routers", ["10.0.0.1"]),
        ("dhcp-option=option:dns-server,10.0.0.1,10.0.0.2", "domain-name-servers", ["10.0.0.1", "10.0.0.2"]),
        ("dhcp-option=option:mtu,1400", "interface-mtu", 1400),
        ("dhcp-option=option:domain-search,a.test,b.test", "domain-search", ["a.test", "b.test"]),
        ('dhcp-option=17,"/srv/a, b"', "root-path", "/srv/a, b"),
        ("dhcp-option=19,1", "ip-forwarding", True),
        ("dhcp-option=43,01:02", "vendor-encapsulated-options", "01:02"),
        ("dhcp-option=200,hello", "option-200", "68:65:6c:6c:6f"),
        ("dhcp-option=200,5", "option-200", "05"),
        ("dhcp-option=200,5i", "option-200", "00:00:00:05"),
        ("dhcp-option=200,1,2,300", "option-200", "01:02:01:2c"),
        ("--dhcp-option-force=42,10.0.0.1  # comment", "ntp-servers", ["10.0.0.1"]),
    ],
)
def test_options(line: str, name: str, value: object) -> None:
    found = read(line)
    assert found.options == {name: value}
    assert lost(found) == []


@pytest.mark.parametrize(
    "line",
    [
        "dhcp-option=option:nonsense,1",
        "dhcp-option=3,x",
        "dhcp-option=999,1",
        "dhcp-option=option6:dns-server,[::1]",
        "dhcp-option=200,a,b",
        "dhcp-option=200,99999999999",
        "dhcp-option",
        "dhcp-option=tag:a,tag:b,3,10.0.0.1",
        "dhcp-range=10.0.0.1,10.0.0.9,10.0.0.0.0",
        "dhcp-range=10.0.0.1,tomorrow",
        "dhcp-range=",
        "dhcp-host=02:00:00:00:00:01,10.0.0.1,a,b",
        "dhcp-host=02:00:00:00:00:01,10.0.0.300",
        "dhcp-host=",
        "dhcp-boot=",
        "dhcp-ignore=tag:x",
        "domain=x.test,10.0.0.0/8",
        "nonsense",
    ],
)
def test_what_cannot_be_taken_over_is_noted(line: str) -> None:
    found = read(f"# a comment\n\n{line}\n")
    assert found.options == {} and found.nodes == () and found.subnets == ()
    assert lost(found)
    assert set(lost(found)) == {3}


def test_what_dnsmasq_sends_unasked_is_noted() -> None:
    """Its own address as router and name server: nobody wrote it down, and machines would miss it."""
    found = read("dhcp-range=10.0.0.5,10.0.0.9,1h\ndhcp-option=3,10.0.0.1\n")
    assert [note.text.rpartition("set ")[2] for note in found.notes if note.kind is Kind.LOST] == [
        "domain-name-servers"
    ]


def test_only_listed_machines() -> None:
    found = read("dhcp-range=10.0.0.5,10.0.0.9\ndhcp-ignore=tag:!known\n")
    assert not found.subnets[0].unknown


_WORDS = st.sampled_from(
    re.findall(
        r"\S+",
        """dhcp-range= dhcp-host= dhcp-option= dhcp-boot= domain= tag:a set:a set:b option:router
        option:mtu 3 43 121 200 10.0.0.1 10.0.0.9 255.255.0.0 02:00:00:00:00:01 02:00:*:*:*:* 12h
        infinite static proxy , , , # " id:1 ignore name 5i 01:02 ff-02:00:00:00:00:01
        zz-02:00:00:00:00:01 ² 99999999999 encap: :: = -""",
    )
)


@given(st.one_of(st.text(), st.lists(st.lists(_WORDS).map("".join)).map("\n".join)))
def test_any_text_is_read(text: str) -> None:
    found = read(text)
    for subnet in found.subnets:
        build_subnet(subnet.table())
    assert all(1 <= note.line <= text.count("\n") + 1 for note in found.notes)


@given(st.lists(st.from_regex(r"[a-z-]{3,12}=[a-z0-9.,:]{1,9}\Z", fullmatch=True), max_size=8))
def test_every_line_is_taken_over_or_noted(lines: list[str]) -> None:
    found = read("\n".join(lines))
    noted = {note.line for note in found.notes}
    for number, line in enumerate(lines, 1):
        assert line.startswith(("interface=", "domain=", "dhcp-")) or number in noted, line
