"""Strangers cost no look into the registry when no node has a card of their maker, and a node is known at
once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bootsrv import knownnodes
from bootsrv.knownnodes import KnownNodes
from bootsrv.model import Node, NodeState
from bootsrv.registry.registry import Registry, opened
from pxe.dhcp.ports import Client, Stage


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    with opened(tmp_path / "registry.db") as registry:
        registry.nodes.save(
            Node(id=0, name="n1", state=NodeState.RUNNING, macs=("52:54:00:00:00:01", "52:54:00:00:01:01"))
        )
        yield registry


def client(mac: str) -> Client:
    return Client(mac, Stage.FIRMWARE)


def test_each_card_of_a_node_is_the_node(registry: Registry) -> None:
    known = KnownNodes(registry)
    for mac in ("52:54:00:00:00:01", "52:54:00:00:01:01"):
        node = known.node(client(mac))
        assert node is not None and node.name == "n1"


@pytest.mark.parametrize(
    "mac", ["52:54:00:00:00:02", "52:54:01:00:00:01", "", "00", "fe:80:00:00:00:00:00:01"]
)
def test_others_are_strangers(registry: Registry, mac: str) -> None:
    assert KnownNodes(registry).node(client(mac)) is None


def test_a_card_of_infiniband_is_known_by_its_eight_bytes(registry: Registry) -> None:
    registry.nodes.save(Node(id=0, name="n2", state=NodeState.RUNNING, macs=("00:02:c9:03:00:11:22:33",)))
    node = KnownNodes(registry).node(client("00:02:c9:03:00:11:22:33"))
    assert node is not None and node.name == "n2"


def test_a_card_added_later_is_known_with_the_next_packets(registry: Registry) -> None:
    known = KnownNodes(registry)
    known.look()
    assert known.node(client("aa:00:00:00:00:07")) is None
    registry.nodes.save(Node(id=0, name="n7", state=NodeState.RUNNING, macs=("aa:00:00:00:00:07",)))
    known.look()
    node = known.node(client("aa:00:00:00:00:07"))
    assert node is not None and node.name == "n7"


def test_strangers_of_one_maker_cost_one_look(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    known, asked = KnownNodes(registry), []
    id_of_mac, has_card_of = registry.nodes.id_of_mac, registry.search.has_card_of
    monkeypatch.setattr(registry.nodes, "id_of_mac", lambda mac: asked.append(mac) or id_of_mac(mac))
    monkeypatch.setattr(registry.search, "has_card_of", lambda by: asked.append(by) or has_card_of(by))
    for number in range(100):
        assert known.node(client(f"aa:bb:cc:00:00:{number:02x}")) is None
    assert asked == ["aa:bb:cc"]


def test_what_is_kept_is_bounded(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(knownnodes, "MOST", 10)
    known = KnownNodes(registry)
    for number in range(100):
        known.node(client(f"aa:bb:{number:02x}:00:00:00"))
        assert len(known._makers) <= 10
    assert known.node(client("52:54:00:00:00:01")) is not None
