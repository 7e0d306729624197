"""dhcpd.conf: a real-world shaped file, each kind of statement, and the law: nothing dropped silently."""

from __future__ import annotations

import re
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bootsrv.importing import isc
from bootsrv.importing.imported import Imported, ImportFailed, Kind
from pxe.dhcp.subnet import build_subnet

DATA = Path(__file__).parent / "data"
NAMES = {"ntp.cluster.example": "10.20.0.2", "n02.cluster.example": "10.20.0.12"}


def resolve(name: str) -> IPv4Address | None:
    return IPv4Address(NAMES[name]) if name in NAMES else None


def read(text: str) -> Imported:
    return isc.read(text, "dhcpd.conf", resolve)


def lost(found: Imported) -> list[tuple[int, str]]:
    return [(note.line, note.text) for note in found.notes if note.kind is Kind.LOST]


@pytest.fixture(scope="module")
def cluster() -> Imported:
    return read((DATA / "cluster.dhcpd.conf").read_text())


def test_subnets_of_the_cluster(cluster: Imported) -> None:
    tables = [subnet.table() for subnet in cluster.subnets]
    assert tables == [
        {
            "cidr": "10.20.0.0/24",
            "mode": "authoritative",
            "shared": "building-7",
            "pools": ["10.20.0.100-10.20.0.149", "10.20.0.160-10.20.0.169"],
            "routers": ["10.20.0.1"],
            "lease_seconds": 3600,
            "bootp": True,
        },
        {
            "cidr": "10.20.1.0/24",
            "mode": "authoritative",
            "shared": "building-7",
            "pools": ["10.20.1.200-10.20.1.250"],
            "routers": ["10.20.1.1"],
            "lease_seconds": 21600,
            "unknown": False,
        },
        {"cidr": "192.168.66.0/26", "mode": "authoritative", "interface": "eth3", "lease_seconds": 21600},
    ]
    for table in tables:
        build_subnet(table)  # the engine takes each as it is


def test_nodes_of_the_cluster(cluster: Imported) -> None:
    rows = [(node.name, node.macs, str(node.address), node.groups) for node in cluster.nodes]
    assert rows == [
        ("n01", ("00:16:3e:aa:00:01", "00:16:3e:aa:00:21"), "10.20.0.11", ("rack3",)),
        ("n02", ("00:16:3e:aa:00:02",), "10.20.0.12", ("rack3",)),
        ("n03", ("00:16:3e:aa:00:03",), "10.20.0.13", ("rack3", "group-66")),
        ("laser-printer", ("00:16:3e:aa:00:10",), "10.20.1.20", ()),
        ("roaming", ("00:16:3e:aa:00:20",), "None", ()),
        ("by-id", (), "10.20.0.40", ()),
    ]
    assert [node.identities for node in cluster.nodes if node.identities] == [(("client-id", "0x616263"),)]
    assert cluster.nodes[1].options == {"host-name": "node-two", "interface-mtu": 9000}
    groups = {group.name: group.options for group in cluster.groups}
    assert groups["group-66"] == {"dhcp-lease-time": 7200}
    assert groups["rack3"]["option-224"] == "0a:14:00:08:0a:14:00:09"
    assert groups["rack3"]["tftp-server-address"] == ["10.20.0.2"]


def test_the_whole_appliance(cluster: Imported) -> None:
    assert cluster.domain == "cluster.example"
    assert cluster.interfaces == ("eth3",)
    assert cluster.options == {
        "domain-name-servers": ["10.20.0.2", "10.20.0.3"],
        "ntp-servers": ["10.20.0.2"],
    }


def test_every_line_of_the_cluster_that_is_lost_is_named(cluster: Imported) -> None:
    assert [line for line, _ in lost(cluster)] == [16, 18, 68, 75, 75]
    assert all(str(note).startswith(f"dhcpd.conf:{note.line}: ") for note in cluster.notes)


@pytest.mark.parametrize(
    ("statement", "name", "value"),
    [
        ("option routers 10.0.0.1, 10.0.0.2", "routers", ["10.0.0.1", "10.0.0.2"]),
        ('option domain-name "a.test"', "domain-name", "a.test"),
        ('option domain-search "a.test", "b.test"', "domain-search", ["a.test", "b.test"]),
        ("option interface-mtu 1400", "interface-mtu", 1400),
        ("option time-offset -18000", "time-offset", -18000),
        ("option all-subnets-local on", "all-subnets-local", True),
        (
            "option static-routes 10.1.0.0 10.0.0.1, 10.2.0.0 10.0.0.2",
            "static-routes",
            ["10.1.0.0 10.0.0.1", "10.2.0.0 10.0.0.2"],
        ),
        ("option vendor-encapsulated-options 1:4:a:b", "vendor-encapsulated-options", "01:04:0a:0b"),
        (
            "option rfc3442-classless-static-routes 24, 10, 9, 8, 10, 0, 0, 1",
            "classless-static-routes",
            ["10.9.8.0/24 via 10.0.0.1"],
        ),
        ("option time-servers ntp.cluster.example", "time-servers", ["10.20.0.2"]),
        ('option option-200 "ab"', "option-200", "61:62"),
        ('filename "x\\\\y"', "bootfile-name", "x\\y"),
        ("next-server 10.0.0.9", "tftp-server-address", ["10.0.0.9"]),
    ],
)
def test_options(statement: str, name: str, value: object) -> None:
    found = read(f"group g {{ {statement}; host a {{ hardware ethernet 2:0:0:0:0:1; }} }}")
    assert found.groups[0].options == {name: value}
    assert lost(found) == []


@pytest.mark.parametrize(
    ("definition", "value", "expected"),
    [
        ("code 150 = ip-address", "10.0.0.1", {"tftp-server-address": ["10.0.0.1"]}),
        ("code 230 = array of unsigned integer 16", "1, 2", {"option-230": "00:01:00:02"}),
        ("code 230 = signed integer 32", "-1", {"option-230": "ff:ff:ff:ff"}),
        ("code 230 = boolean", "true", {"option-230": "01"}),
        ("code 230 = text", '"hi"', {"option-230": "68:69"}),
        ("code 230 = string", "68:69", {"option-230": "68:69"}),
    ],
)
def test_options_that_the_file_defines(definition: str, value: str, expected: dict[str, object]) -> None:
    found = read(f"option mine {definition}; option mine {value};")
    assert found.options == expected
    assert lost(found) == []


@pytest.mark.parametrize(
    "statement",
    [
        "option interface-mtu 12",
        "option routers example.invalid",
        "option nonsense 1",
        'option host-name = concat("a", "b")',
        "option dhcp-server-identifier 10.0.0.1",
        "option space PXE",
        "option PXE.mtftp-ip code 1 = ip-address",
        "option mine code 230 = array of { integer 8, ip-address }",
        "option mine code 99999 = text",
        "option",
        "range 10.0.0.1 10.0.0.2",
        "range x",
        "default-lease-time soon",
        "default-lease-time 99999999999999999999999",
        "hardware ethernet 2:0:0:0:0:1",
        "fixed-address 10.0.0.1",
        "deny booting",
        "made-up 5",
        'include "x"',
        "next-server",
    ],
)
def test_what_cannot_be_taken_over_is_noted(statement: str) -> None:
    found = read(f"\n\n{statement};\n")
    assert found.options == {}
    assert [line for line, _ in lost(found)] == [3]


def test_order_in_the_file_does_not_matter() -> None:
    """dhcpd looks a value up when it answers, so what is said after a block holds inside it as well."""
    found = read(
        "subnet 10.0.0.0 netmask 255.0.0.0 { range 10.0.0.5; } default-lease-time 500; deny unknown-clients;"
    )
    assert found.subnets[0].lease_seconds == 500
    assert not found.subnets[0].unknown


def test_pools_with_different_guests_are_noted() -> None:
    found = read(
        "subnet 10.0.0.0 netmask 255.255.255.0 {\n"
        " pool { range 10.0.0.5 10.0.0.9; deny unknown-clients; }\n"
        " pool { range 10.0.0.15 10.0.0.19; allow unknown-clients; option routers 10.0.0.1; }\n}"
    )
    assert found.subnets[0].unknown
    assert [line for line, _ in lost(found)] == [2, 3]


def test_groups_of_one_name_are_two_groups() -> None:
    """In dhcpd.conf the name is only a label: the options of one block are not those of the other."""
    found = read(
        "group x { option interface-mtu 1000; } group x { option interface-mtu 2000; }\n"
        "group { option interface-mtu 68; } group { option interface-mtu 69; } group { } group { }"
    )
    assert [(group.name, group.options["interface-mtu"]) for group in found.groups] == [
        ("x", 1000), ("x-2", 2000), ("group-2", 68), ("group-2-2", 69)
    ]  # fmt: skip


def test_clashes_give_way_with_a_note() -> None:
    found = read(
        "subnet 10.0.0.0 netmask 255.255.255.0 { range 10.0.0.9 10.0.0.5; range 10.0.0.8 10.0.0.255; }\n"
        "subnet 10.0.0.128 netmask 255.255.255.128 { }\n"
        "host a { hardware ethernet 2:0:0:0:0:1; }\n"
        "host a { hardware ethernet 2:0:0:0:0:2; }\n"
        "host b { hardware ethernet 2:0:0:0:0:1; }\n"
    )
    assert [str(pool) for pool in found.subnets[0].pools] == ["10.0.0.5-10.0.0.254"]
    assert [node.name for node in found.nodes] == ["a", "a-2"]
    assert [(note.line, note.kind) for note in found.notes] == [
        (1, "changed"), (1, "changed"), (1, "changed"), (2, "lost"), (4, "changed"), (5, "lost")
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('option domain-name "a;\n', 1),
        ("subnet 10.0.0.0 netmask 255.0.0.0 {\n range 10.0.0.1;\n", 1),
        ("\n}\n", 2),
        ("\nauthoritative\n", 2),
        ("host a { hardware ethernet 2:0:0:0:0:1 }", 1),
        ("{" * 60, 1),
        ("option x code 5 = {", 1),
    ],
)
def test_what_is_no_dhcpd_conf_names_the_line(text: str, line: int) -> None:
    with pytest.raises(ImportFailed, match=rf"^dhcpd\.conf:{line}: ") as caught:
        read(text)
    assert caught.value.line == line


_WORDS = st.sampled_from(
    re.findall(
        r"\S+",
        """subnet netmask shared-network pool group host option code = range dynamic-bootp hardware ethernet
        fixed-address 10.0.0.0 10.0.0.7 255.255.255.0 2:0:0:0:0:1 allow deny unknown-clients known-clients
        default-lease-time 60 n1 , routers "text" host-name array of integer 8 text if else class include
        ; ; ; ; { } } # " \\ ( ) 99999999999 not authoritative interface next-server filename
        domain-name-servers ns.test option-200 ff:1 ² ١""",
    )
)


@given(st.one_of(st.text(), st.lists(_WORDS).map(" ".join)))
def test_any_text_is_read_or_refused_with_a_line(text: str) -> None:
    try:
        found = read(text)
    except ImportFailed as error:
        assert 1 <= error.line <= text.count("\n") + 1
        return
    for subnet in found.subnets:
        build_subnet(subnet.table())
    assert all(1 <= note.line <= text.count("\n") + 1 for note in found.notes)


@given(st.lists(st.from_regex(r"[a-z-]{3,12} [a-z0-9.]{1,9}\Z", fullmatch=True), max_size=8))
def test_every_statement_is_taken_over_or_noted(statements: list[str]) -> None:
    found = read("\n".join(f"{statement};" for statement in statements))
    noted = {note.line for note in found.notes}
    for line, statement in enumerate(statements, 1):
        silent = statement.split()[0] in ("default-lease-time", "interface", "option", "not")
        assert silent or line in noted, statement


@pytest.mark.parametrize(
    ("statement", "kind", "value"),
    [
        ('uid "abc"', "client-id", "0x616263"),
        ("uid 01:2:0A", "client-id", "0x01020a"),
        ('option dhcp-client-identifier "01:02"', "client-id", "0x30313a3032"),
        ("host-identifier option dhcp-client-identifier ff:00", "client-id", "0xff00"),
        ('host-identifier option agent.circuit-id "port 7"', "circuit-id", "0x706f72742037"),
        ("host-identifier option agent.remote-id 00:0a", "remote-id", "0x000a"),
    ],
)
def test_what_else_a_host_is_recognised_by(statement: str, kind: str, value: str) -> None:
    found = read(f"host a {{ {statement}; fixed-address 10.1.0.9; }}")
    (node,) = found.nodes
    assert (node.macs, node.identities) == ((), ((kind, value),)) and lost(found) == []


def test_an_identity_belongs_to_one_host_and_joins_it_at_its_address() -> None:
    found = read(
        'host a { hardware ethernet 02:00:00:00:00:01; uid "x"; fixed-address 10.1.0.9; }\n'
        'host b { uid "y"; fixed-address 10.1.0.9; }\nhost c { uid "x"; }\nhost d { uid 300; uid ""; }\n'
        "host e { host-identifier option vendor.serial 01; hardware ethernet 02:00:00:00:00:05; }"
    )
    (a, d, e) = found.nodes
    assert a.identities == (("client-id", "0x78"), ("client-id", "0x79")) and e.identities == ()
    assert d.identities == (("client-id", "0x333030"),)
    assert [line for line, _ in lost(found)] == [3, 4, 5]
