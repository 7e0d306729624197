"""Nodes that are known by client identifier, UUID or relay port."""

from __future__ import annotations

import json
from ipaddress import IPv4Address

import pytest
from click.testing import CliRunner

from bootsrv.appliance.appliance import Appliance
from bootsrv.appliance.nodes import Wanted
from bootsrv.cli.main import cli
from bootsrv.config import Config
from bootsrv.dhcpview import HouseHosts
from bootsrv.errors import Conflict, Invalid
from bootsrv.knownnodes import KnownNodes
from bootsrv.model import Node
from pxe.dhcp.ports import Client, Stage

NEW_CARD = "52:54:00:00:99:99"
UUID = "4c4c4544-0031-3510-8054-b4c04f4d4d32"


@pytest.fixture
def node(house: Appliance) -> Node:
    return house.nodes.add(Wanted(name="n1", macs=["52:54:00:00:00:01"], address="10.77.0.11"))


def name_of(house: Appliance, client: Client) -> str | None:
    host = HouseHosts(KnownNodes(house.registry)).find(client)
    return host.name if host else None


@pytest.mark.parametrize(
    ("kind", "text", "client"),
    [
        ("client-id", "0x01aabb", Client(NEW_CARD, Stage.SYSTEM, client_id=b"\x01\xaa\xbb")),
        ("client-id", "rack1-u7", Client(NEW_CARD, Stage.SYSTEM, client_id=b"rack1-u7")),
        ("uuid", UUID.upper(), Client(NEW_CARD, Stage.FIRMWARE, uuid=UUID)),
        ("circuit-id", "Gi1/0/7", Client(NEW_CARD, Stage.SYSTEM, circuit_id=b"Gi1/0/7")),
        ("remote-id", "00:06:aa", Client(NEW_CARD, Stage.SYSTEM, remote_id=b"\0\6\xaa")),
    ],
)
def test_known_by(house: Appliance, node: Node, kind: str, text: str, client: Client) -> None:
    assert name_of(house, client) is None
    house.identities.set(node, [(kind, text)])
    assert name_of(house, client) == "n1"
    host = HouseHosts(KnownNodes(house.registry)).find(client)
    assert host is not None and host.address == IPv4Address("10.77.0.11")


def test_a_port_says_more_than_a_card(house: Appliance, node: Node) -> None:
    house.nodes.add(Wanted(name="n2", macs=[NEW_CARD], address="10.77.0.12"))
    client = Client(NEW_CARD, Stage.SYSTEM, circuit_id=b"port7")
    assert name_of(house, client) == "n2"
    house.identities.set(node, [("circuit-id", "port7")])
    assert name_of(house, client) == "n1"
    house.identities.set(node, [], replace=True)
    assert name_of(house, client) == "n2"


def test_one_identity_is_one_node(house: Appliance, node: Node) -> None:
    other = house.nodes.add(Wanted(name="n2", address="10.77.0.12"))
    house.identities.set(node, [("client-id", "x")])
    with pytest.raises(Conflict, match="belongs to n1"):
        house.identities.set(other, [("client-id", "x")])
    house.nodes.remove("n1")
    house.identities.set(other, [("client-id", "x")])
    assert house.identities.of(other) == [("client-id", "x")]


@pytest.mark.parametrize(
    ("kind", "text"), [("uuid", "no"), ("client-id", "0xzz"), ("client-id", ""), ("mac", "x")]
)
def test_nonsense_is_refused(house: Appliance, node: Node, kind: str, text: str) -> None:
    with pytest.raises(Invalid):
        house.identities.set(node, [(kind, text)])


def test_command_line(house: Appliance, node: Node, config: Config) -> None:
    subnet = '[[subnets]]\ncidr = "10.77.0.0/24"\nmode = "proxy"\n'
    config.path.write_text(f'data_dir = "{config.data_dir}"\n{subnet}')
    words = [
        "--config",
        str(config.path),
        "identify",
        "n1",
        "--uuid",
        UUID,
        "--circuit-id",
        "port7",
        "--json",
    ]
    done = CliRunner().invoke(cli, words)
    assert done.exit_code == 0, (done.output, done.exception)
    assert {"kind": "uuid", "value": UUID} in json.loads(done.stdout)
