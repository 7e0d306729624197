from __future__ import annotations

from ipaddress import IPv4Address
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bootsrv.appliance.roster import Roster
from bootsrv.model import Node, NodeState
from bootsrv.registry.registry import Registry
from bootsrv.registry.search import _range


@pytest.fixture
def roster(tmp_path: Path) -> Roster:
    registry = Registry.open(tmp_path / "registry.db")
    rows = [
        ("web1", "52:54:00:00:00:01", "10.77.0.11", NodeState.RUNNING, ("rack1",), "debian"),
        ("web2", "52:54:00:00:00:02", "10.77.0.12", NodeState.FAILED, ("rack2",), "debian@3"),
        ("db_1", "52:54:00:00:0a:03", "10.77.1.12", NodeState.RUNNING, ("rack2",), "compute"),
        ("spare", "", None, NodeState.REGISTERED, (), None),
        (None, "a4:bf:01:00:00:01", None, NodeState.DISCOVERED, (), None),
        (None, "a4:bf:01:00:00:02", None, NodeState.DISCOVERED, (), None),
    ]
    for place, (name, mac, address, state, groups, image) in enumerate(rows):
        registry.nodes.save(
            Node(
                0, name, (mac,) if mac else (), state, IPv4Address(address) if address else None,
                groups=groups, image=image, last_seen=float(place),
            )
        )  # fmt: skip
    return Roster(registry)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", ["db_1", "spare", "web1", "web2"]),
        ("WEB", ["web1", "web2"]),
        ("web rack2", ["web2"]),
        ("_", ["db_1"]),
        ("%", []),
        ("!", []),
        ("0A:03", ["db_1"]),
        ("10.77.", ["db_1", "web1", "web2"]),
        ("10.77.0", ["web1", "web2"]),
        ("10.77.1.12", ["db_1"]),
        ("10.77.1.999", []),
        ("10.77.0.11.5", []),
        ("'; drop table nodes; --", []),
        ("a4:bf", []),
    ],
)
def test_words_find_nodes(roster: Roster, text: str, names: list[str]) -> None:
    page = roster.page(text)
    assert [node.name for node in page.nodes] == names
    assert page.total == len(names)


def test_pages_and_states(roster: Roster) -> None:
    page = roster.page(limit=2, offset=2)
    assert ([node.name for node in page.nodes], page.total) == (["web1", "web2"], 4)
    assert [node.name for node in roster.page(state=NodeState.RUNNING).nodes] == ["db_1", "web1"]
    assert roster.page(state=NodeState.DISCOVERED).total == 0


def test_numbers_count_in_names(tmp_path: Path) -> None:
    registry = Registry.open(tmp_path / "more.db")
    for name in ("n10", "m2", "n9", "n1", "n", "n100", "m10"):
        registry.nodes.save(Node(0, name, (), NodeState.REGISTERED))
    expected = ["m2", "m10", "n", "n1", "n9", "n10", "n100"]
    assert [node.name for node in Roster(registry).page().nodes] == expected
    assert [node.name for node in Roster(registry).waiting()] == expected
    assert [node.name for node in registry.nodes.list()] == expected
    assert [name for name, _ in registry.nodes.names()] == expected


def test_what_waits_and_who_is_unknown(roster: Roster) -> None:
    assert [node.name for node in roster.waiting()] == ["spare"]
    unknown = roster.unknown(limit=1)
    assert ([node.macs for node in unknown.nodes], unknown.total) == ([("a4:bf:01:00:00:02",)], 2)
    assert roster.tally()[NodeState.RUNNING] == 2
    assert roster.tally()[NodeState.ARMED] == 0
    assert roster.image_use() == {"debian": 2, "compute": 1}


@given(st.text(max_size=30))
def test_a_range_of_addresses_is_a_range_of_addresses(text: str) -> None:
    low, high = _range(text)
    assert (low, high) == (1, 0) or 0 <= low <= high < 2**32
