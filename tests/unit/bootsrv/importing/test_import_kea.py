"""Kea's JSON: a real-world shaped file, comments and lines, and the law: nothing dropped in silence."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bootsrv.importing import kea
from bootsrv.importing.imported import Imported, ImportFailed, Kind
from bootsrv.importing.jsonc import Value, parse
from pxe.dhcp.subnet import build_subnet

DATA = Path(__file__).parent / "data"


def read(text: str) -> Imported:
    return kea.read(text, "kea.conf")


def dhcp4(inside: str) -> Imported:
    return read('{"Dhcp4": {\n' + inside + "\n}}")


def lost(found: Imported) -> list[int]:
    return [note.line for note in found.notes if note.kind is Kind.LOST]


def plain(value: Value) -> Any:
    if isinstance(value.it, dict):
        return {name: plain(item) for name, item in value.it.items()}
    return [plain(item) for item in value.it] if isinstance(value.it, list) else value.it


@pytest.fixture(scope="module")
def campus() -> Imported:
    return read((DATA / "campus.kea.conf").read_text())


def test_subnets_of_the_campus(campus: Imported) -> None:
    tables = [subnet.table() for subnet in campus.subnets]
    assert tables == [
        {
            "cidr": "10.40.1.0/24",
            "mode": "authoritative",
            "shared": "building-a",
            "pools": ["10.40.1.100-10.40.1.150", "10.40.1.192-10.40.1.207"],
            "routers": ["10.40.1.1"],
            "lease_seconds": 3000,
            "options": {
                "ntp-servers": ["10.40.0.4"],
                "classless-static-routes": ["10.9.0.0/16 via 10.40.1.9"],
            },
        },
        {
            "cidr": "10.40.2.0/24",
            "mode": "authoritative",
            "interface": "eth1",
            "shared": "building-a",
            "lease_seconds": 90,
            "options": {"ntp-servers": ["10.40.0.4"]},
        },
        {
            "cidr": "10.41.0.0/22",
            "mode": "authoritative",
            "pools": ["10.41.0.10-10.41.3.200"],
            "lease_seconds": 4000,
            "options": {"tftp-server-address": ["10.40.0.2"]},
        },
    ]
    for table in tables:
        build_subnet(table)


def test_machines_and_the_whole(campus: Imported) -> None:
    rows = [(node.name, node.macs, str(node.address), dict(node.options)) for node in campus.nodes]
    assert rows == [
        ("door", ("02:00:00:00:20:01",), "10.40.1.10", {"interface-mtu": 1400, "bootfile-name": "door.img"}),
        ("node-01112233445566", (), "10.40.1.11", {}),
        ("rover", ("02:00:00:00:20:02",), "None", {}),
    ]
    assert campus.nodes[1].identities == (("client-id", "0x01112233445566"),)
    assert campus.domain == "campus.example"
    assert campus.interfaces == ("eth0", "eth1")
    assert campus.options == {
        "domain-name-servers": ["10.40.0.2", "10.40.0.3"],
        "domain-search": ["campus.example", "example"],
        "vendor-encapsulated-options": "01:04:0a:28:00:02",
        "option-222": "00:07:00:09",
    }


def test_every_line_of_the_campus_that_is_lost_is_named(campus: Imported) -> None:
    assert lost(campus) == [5, 11, 19, 21, 27, 31, 52, 54]


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        ({"name": "routers", "data": "10.0.0.1"}, {"routers": ["10.0.0.1"]}),
        ({"code": 3, "data": "10.0.0.1,10.0.0.2"}, {"routers": ["10.0.0.1", "10.0.0.2"]}),
        ({"name": "boot-file-name", "data": "a\\,b"}, {"bootfile-name": "a,b"}),
        ({"name": "routers", "csv-format": False, "data": "0a:00:00:01"}, {"routers": ["10.0.0.1"]}),
        ({"code": 200, "csv-format": False, "data": "0x0AFF"}, {"option-200": "0a:ff"}),
        ({"name": "ip-forwarding", "data": "true", "always-send": False}, {"ip-forwarding": True}),
    ],
)
def test_options(option: dict[str, object], expected: dict[str, object]) -> None:
    found = dhcp4(f'"option-data": [{json.dumps(option)}]')
    assert found.options == expected
    assert lost(found) == []


@pytest.mark.parametrize(
    "member",
    [
        '"option-data": [{"name": "nonsense", "data": "1"}]',
        '"option-data": [{"name": "routers"}]',
        '"option-data": [{"name": "routers", "data": 5}]',
        '"option-data": [{"code": 200, "data": "5"}]',
        '"option-data": [{"code": 200, "csv-format": false, "data": "xyz"}]',
        '"option-data": [{"name": "a", "space": "vendor-encapsulated-options-space", "data": "1"}]',
        '"option-data": {}',
        '"option-data": [{"name": "root-path", "data": "\\ud800"}]',
        '"valid-lifetime": "long"',
        '"subnet4": [{"subnet": "10.0.0.0/99"}]',
        '"subnet4": [{}]',
        '"subnet4": 5',
        '"reservations": [{"hw-address": "x"}]',
        '"reservations": [{"duid": "01:02"}]',
        '"interfaces-config": {"interfaces": ["*"]}',
        '"made-up": {"a": 1}',
        '<?include "x"?>',
    ],
)
def test_what_cannot_be_taken_over_is_noted(member: str) -> None:
    found = dhcp4(member)
    assert found.options == {} and found.nodes == () and found.subnets == ()
    assert lost(found)
    assert set(lost(found)) == {2}


def test_a_member_said_twice() -> None:
    found = dhcp4('"valid-lifetime": 100, "valid-lifetime": 200, "subnet4": [{"subnet": "10.0.0.0/8"}]')
    assert found.subnets[0].lease_seconds == 200
    assert lost(found) == [1]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", 1),
        ("{}", 1),
        ("[1]", 1),
        ('{"Dhcp4": {\n"a" 5}}', 2),
        ('{"Dhcp4": {\n"a": 5\n"b": 6}}', 3),
        ('{"Dhcp4": {\n"a": yes}}', 2),
        ('{"Dhcp4": {}}\n\nmore', 3),
        ('{"Dhcp4": {\n/* open', 2),
        ('{"Dhcp4": {\n"open', 2),
        ('{"Dhcp4": "\\q"}', 1),
        ('{"Dhcp4":' + "[" * 100, 1),
        ('{"Dhcp4": <?php ?>}', 1),
        ('{"Dhcp4": ' + "9" * 5000 + "}", 1),
    ],
)
def test_what_is_no_kea_configuration_names_the_line(text: str, line: int) -> None:
    with pytest.raises(ImportFailed, match=rf"^kea\.conf:{line}: ") as caught:
        read(text)
    assert caught.value.line == line


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)


@given(_JSON, st.sampled_from([None, 1, 4]))
def test_all_json_is_read_as_json_does(value: object, indent: int | None) -> None:
    assert plain(parse(json.dumps(value, indent=indent), "x")) == value


def test_lines_are_counted_through_comments() -> None:
    value = parse('// one\n# two\n/* three\nfour */ {\n"a": [1,\n 2,], }', "x")
    assert value.line == 4
    assert [item.line for item in value.it["a"].it] == [5, 6]


_PIECES = st.sampled_from(
    re.findall(
        r"\S+",
        """{ } [ ] , : "Dhcp4" "subnet4" "subnet" "10.0.0.0/24" "pools" "pool" "10.0.0.1-10.0.0.9"
        "option-data" "name" "routers" "data" "code" 5 -1 1.5 true null "reservations" "hw-address"
        "02:00:00:00:00:01" // # /* */ <?include "x"?> "shared-networks" "valid-lifetime" "\\\\u00e9"
        "\\\\" " 99999999999999999999""",
    )
)


@given(st.one_of(st.text(), st.lists(_PIECES).map(" ".join), st.lists(_PIECES).map("\n".join)))
def test_any_text_is_read_or_refused_with_a_line(text: str) -> None:
    try:
        found = read(text)
    except ImportFailed as error:
        assert 1 <= error.line <= text.count("\n") + 1
        return
    assert all(1 <= note.line <= text.count("\n") + 1 for note in found.notes)


_MEMBERS = st.sampled_from(
    ["subnet", "pools", "option-data", "id", "name", "code", "data", "relay", "x", "reservations"]
)
_VALUES = st.recursive(
    st.sampled_from([None, True, 5, "10.0.0.0/24", "10.0.0.1", "routers", "02:00:00:00:00:01", ""]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_MEMBERS, inner, max_size=4),
)


@given(
    st.dictionaries(
        st.sampled_from(["subnet4", "shared-networks", "option-data", "option-def", "x"]), _VALUES
    )
)
def test_any_shape_is_read_with_notes(server: dict[str, object]) -> None:
    found = read(json.dumps({"Dhcp4": server}, indent=1))
    for subnet in found.subnets:
        build_subnet(subnet.table())
    assert "x" not in server or any("x: not understood" in note.text for note in found.notes)
