"""Which disk layout a node gets, and the key of its encrypted disks: to whom, and until when."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from bootsrv import diskkeys
from bootsrv.appliance.appliance import Appliance
from bootsrv.appliance.nodes import Wanted
from bootsrv.config import Config, parse
from bootsrv.errors import BootsrvError, ConfigError, Invalid
from bootsrv.nodeapi import NodeApi
from images.layout_parse import parse_layout
from pxe.http.ports import NodeRequest, Reply

MAC = "52:54:00:00:00:01"
SEALED = {
    "partitions": [
        {"role": "bios"},
        {"role": "boot", "size": "300M"},
        {"role": "root", "size": "grow", "luks": "server"},
    ]
}
PLAIN = {"partitions": [{"role": "esp", "size": "64M"}, {"role": "root", "fs": "btrfs", "size": "grow"}]}


@pytest.fixture
def api(house: Appliance, config: Config, clock: Any) -> NodeApi:
    given = structs.replace(config, layouts={"sealed": SEALED, "plain": PLAIN})
    house.nodes._config = given
    return NodeApi(given, house.registry, house.nodes._images, clock)


def call(api: NodeApi, path: str, token: str) -> Reply:
    answer = api.handle(NodeRequest("GET", path, {}, {}, b"", "10.77.0.9", token))
    assert isinstance(answer, Reply)
    return answer


def task(api: NodeApi, house: Appliance, clock: Any) -> dict[str, Any]:
    import msgspec

    data = {"url": "http://10.77.0.1:8080"}
    token = house.registry.tokens.issue("boot", MAC, clock(), 3600.0, data)
    found: dict[str, Any] = msgspec.json.decode(call(api, "task", token).body)
    return found


def armed(house: Appliance, layout: str | None) -> None:
    house.nodes.add(Wanted(name="n1", macs=[MAC], image="debian@1", layout=layout))
    house.deploys.reimage([house.nodes.show("n1")])


def test_a_nodes_own_layout_is_what_it_gets(api: NodeApi, house: Appliance, clock: Any) -> None:
    armed(house, "plain")
    told = task(api, house, clock)
    assert parse_layout(told["layout"]) == parse_layout(PLAIN) and "disk_key" not in told
    assert told["seed"] == []
    house.nodes.set("n1", Wanted(clear=["layout"]))
    assert parse_layout(task(api, house, clock)["layout"]).root.fs == "ext4"


def test_a_layout_that_nobody_declared_is_refused(api: NodeApi, house: Appliance) -> None:
    with pytest.raises(Invalid, match="there is no disk layout 'other'; there are: plain, sealed"):
        house.nodes.add(Wanted(name="n1", macs=[MAC], layout="other"))


def test_one_that_went_away_holds_the_machine_with_the_reason(
    api: NodeApi, house: Appliance, clock: Any
) -> None:
    armed(house, "sealed")
    api._config = structs.replace(api._config, layouts={})
    told = task(api, house, clock)
    assert told["kind"] == "hold" and "no disk layout 'sealed'" in told["text"]


def test_the_key_goes_to_its_own_machine_until_the_node_is_removed(
    api: NodeApi, house: Appliance, clock: Any
) -> None:
    armed(house, "sealed")
    told = task(api, house, clock)
    key = told["disk_key"]
    assert key["url"] == "http://10.77.0.1:8080/node/v1/diskkey" and len(key["passphrase"]) == 35
    node = house.nodes.show("n1")
    assert key["passphrase"] == diskkeys.passphrase(house.registry, node)
    answer = call(api, "diskkey", key["token"])
    assert (answer.status, answer.body.decode()) == (200, key["passphrase"])
    assert [e.kind for e in house.watch.events(0, 50, node)][-1] == "disk.key"
    for wrong in ("nonsense", told["callback"]["token"]):
        assert call(api, "diskkey", wrong).status in (401, 403)
    assert call(api, "task", key["token"]).status == 403, "and this credential opens nothing else"
    house.nodes.remove("n1", force=True)
    assert call(api, "diskkey", key["token"]).status in (401, 403)


@pytest.mark.parametrize(("layout", "kind"), [("sealed", "tree"), ("sealed", "disk"), ("plain", "tree")])
def test_a_capture_of_its_files_gets_the_key_of_what_is_encrypted(
    api: NodeApi, house: Appliance, clock: Any, layout: str, kind: str
) -> None:
    node = house.nodes.add(Wanted(name="n1", macs=[MAC], layout=layout))
    house.captures.offline([node], "golden", kind)
    told = task(api, house, clock)
    assert told["kind"] == "capture"
    if (layout, kind) == ("sealed", "tree"):
        assert told["disk_key"] == {"passphrase": diskkeys.passphrase(house.registry, node)}
    else:
        assert "disk_key" not in told, "a whole disk is read as it is"


def test_every_node_has_another_key(house: Appliance) -> None:
    nodes = [house.nodes.add(Wanted(name=f"n{n}", macs=[MAC[:-1] + str(n)])) for n in (1, 2)]
    first, second = (diskkeys.passphrase(house.registry, node) for node in nodes)
    assert first != second


@pytest.mark.parametrize(
    ("table", "why"),
    [
        ({"layouts": {"x": {"partitions": []}}}, "key layouts.x: layout: 'partitions' must be a list"),
        ({"imager": {"image_layouts": {"debian": "y"}}}, "image_layouts.debian: there is no layout 'y'"),
    ],
)
def test_layouts_are_checked_at_the_start(table: dict[str, Any], why: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(table, Path("/etc/bootsrv/bootsrv.toml"))
    assert why in str(caught.value)
    assert isinstance(caught.value, BootsrvError)
