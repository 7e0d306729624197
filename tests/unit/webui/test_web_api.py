from __future__ import annotations

import pytest
from flask import Flask
from flask.testing import FlaskClient
from webhouse import FACTS, House

from bootsrv.model import NodeState

MAC = "52:54:00:00:00:01"


@pytest.fixture
def api(app: Flask, house: House) -> FlaskClient:
    client = app.test_client()
    client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {house.appliance.users.issue_token('admin')}"
    return client


def test_the_life_of_a_node(api: FlaskClient, house: House) -> None:
    house.seen(MAC, facts=FACTS)
    unknown = api.get("/api/v1/nodes/unknown").json["nodes"]
    assert [(node["macs"], node["state"]) for node in unknown] == [([MAC], "discovered")]
    adopted = api.post(
        f"/api/v1/nodes/{MAC}/adopt", json={"name": "n1", "address": "10.77.0.11", "image": "debian"}
    )
    assert adopted.status_code == 200
    assert adopted.json["armed"]["image"] == "debian@2"
    assert [node["name"] for node in api.get("/api/v1/nodes").json["nodes"]] == ["n1"]
    number = adopted.json["id"]
    for ref in ("n1", MAC, number):
        assert api.get(f"/api/v1/nodes/{ref}").json["name"] == "n1"
    changed = api.patch("/api/v1/nodes/n1", json={"groups": ["rack3"], "image": None})
    assert (changed.json["groups"], changed.json["image"], changed.json["address"]) == (
        ["rack3"],
        None,
        "10.77.0.11",
    )
    known = {"uuid": ["4c4c4544-0031-3510-8054-b4c04f4d4d32"], "circuit-id": ["0x00ff", "port7"]}
    assert api.patch("/api/v1/nodes/n1", json={"identities": known}).json["identities"] == known
    assert api.patch("/api/v1/nodes/n1", json={"identities": {"uuid": ["x"]}}).status_code == 400
    assert api.get("/api/v1/nodes/n1").json["identities"] == known
    assert len(api.get("/api/v1/nodes?group=rack3").json["nodes"]) == 1
    api.post("/api/v1/cancel", json={"nodes": "n1"})
    armed = api.post("/api/v1/reimage", json={"nodes": "@rack3", "image": "compute"}).json["nodes"]
    assert armed[0]["armed"]["image"] == "compute@7"
    assert api.get("/api/v1/nodes/n1/explain").json["lines"][0]["label"] == "node"
    assert api.delete("/api/v1/nodes/n1").status_code == 204
    assert api.get("/api/v1/nodes/n1").status_code == 404


def test_a_range(api: FlaskClient, house: House) -> None:
    body = {"base": "n", "first": "01", "last": 12, "first_address": "10.77.0.11", "image": "debian"}
    made = api.post("/api/v1/nodes/range", json=body)
    assert made.status_code == 201
    assert [node["name"] for node in made.json["nodes"]][-1] == "n12"
    assert house.appliance.nodes.show("n12").state is NodeState.ARMED


def test_looking(api: FlaskClient, house: House) -> None:
    node = house.seen(MAC)
    number = house.tell(node, "dhcp.discover", "asks", stage="firmware")
    house.tell(node, "deploy.progress", "", done=1, total=2, rate=1.0)
    house.appliance.registry.events.log(node.id, MAC, 0.0, "hello\n")
    events = api.get("/api/v1/events").json["events"]
    assert [event["kind"] for event in events] == ["dhcp.discover", "deploy.progress"]
    assert [event["id"] for event in api.get(f"/api/v1/events?since={number}").json["events"]] == [
        events[1]["id"]
    ]
    assert len(api.get(f"/api/v1/events?limit=1&node={MAC}").json["events"]) == 1
    boot = api.get(f"/api/v1/nodes/{node.id}/boots").json["boots"][0]
    assert boot["progress"] == {"done": 1, "total": 2, "rate": 1.0, "eta": 1.0}
    assert api.get(f"/api/v1/nodes/{MAC}/log").json["pieces"][0]["text"] == "hello\n"
    images = api.get("/api/v1/images").json["images"]
    assert {image["ref"] for image in images} == {"debian@1", "debian@2", "compute@7"}
    assert api.get("/api/v1/images?name=compute").json["images"][0]["bytes"] == 2300 << 20


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/nodes", b"{", 400),
        ("POST", "/nodes", b"[]", 400),
        ("POST", "/nodes", b'{"nam": "n1"}', 400),
        ("POST", "/nodes", b'{"name": 7}', 400),
        ("POST", "/nodes", b"{}", 400),
        ("POST", "/nodes", b'{"name": "a b"}', 400),
        ("POST", "/nodes", b'{"name": "n1", "image": "gone"}', 404),
        ("POST", "/nodes", b'{"name": "taken"}', 409),
        ("PATCH", "/nodes/nobody", b"{}", 404),
        ("POST", "/reimage", b'{"nodes": ""}', 400),
        ("POST", "/reimage", b'{"nodes": "taken"}', 400),
        ("POST", "/retry", b'{"nodes": "taken"}', 409),
        ("GET", "/events?since=-1", b"", 400),
        ("GET", "/events?limit=x", b"", 400),
        ("GET", "/nodes?group=none%20", b"", 200),
        ("PUT", "/nodes", b"", 405),
        ("GET", "/nope", b"", 404),
        ("POST", "/nodes", b"\xff\xfe", 400),
        ("POST", "/nodes", b"[" * 100_000, 400),
        ("POST", "/nodes", b" " * 2_000_000, 413),
    ],
)
def test_errors_are_json_with_a_reason(
    api: FlaskClient, house: House, method: str, path: str, body: bytes, status: int
) -> None:
    from bootsrv.appliance.nodes import Wanted

    house.appliance.nodes.add(Wanted(name="taken"))
    answer = api.open(f"/api/v1{path}", method=method, data=body)
    assert answer.status_code == status
    if status >= 400:
        assert answer.json["error"]["status"] == status
        assert answer.json["error"]["reason"]
    assert len(house.appliance.nodes.list()) == 1


def test_what_is_missing_is_named_as_the_request_names_it(api: FlaskClient, admin, house: House) -> None:
    from bootsrv.appliance.nodes import Wanted

    node = house.appliance.nodes.add(Wanted(name="n1"))
    said = api.post("/api/v1/reimage", json={"nodes": "n1"}).json["error"]["reason"]
    assert said == 'n1 has no image: give "image"'
    said = api.post("/api/v1/install", json={"nodes": "n1"}).json["error"]["reason"]
    assert said == 'n1 has no profile: give "profile"'
    body = {"name": "n2", "mode": "diskless", "writes": "paths"}
    said = api.post("/api/v1/nodes", json=body).json["error"]["reason"]
    assert said == 'writes paths: say which are kept, such as /home: give "paths"'
    page = admin.post("/nodes/reimage", {"id": node.id}).text
    assert "N1 has no image." in page and "--image" not in page


def test_a_session_may_use_the_api_with_its_token(admin) -> None:
    assert admin.get("/api/v1/nodes").status_code == 200
    headers = {"X-CSRF-Token": admin.token()}
    assert admin.client.post("/api/v1/nodes", json={"name": "n1"}, headers=headers).status_code == 201
