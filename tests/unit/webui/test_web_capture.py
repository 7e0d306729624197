"""Making an image of a machine from the page."""

from __future__ import annotations

import re
from html import unescape

from flask import Flask
from webhouse import House, add

from bootsrv.model import NodeState


def test_any_machine_gets_a_line_to_type(admin, house: House) -> None:
    assert 'href="/images/capture"' in admin.get("/images").text
    assert "Make an image of a machine" in admin.get("/images/capture").text
    assert admin.post("/images/capture", {"name": ""}).status_code == 422
    wrong = admin.post("/images/capture", {"name": "No Name"})
    assert wrong.status_code == 422 and "use 1-63 of" in wrong.text
    done = admin.post("/images/capture", {"name": "golden"})
    found = re.search(r"<pre[^>]*>(.*?)</pre>", done.text)
    assert done.status_code == 200 and found
    line = unescape(found[1])
    start = r"curl -fsS http://[0-9.:]+/agent \| sudo python3 - capture --name golden --token=(\S+)"
    typed = re.fullmatch(start, line)
    assert typed
    token = house.appliance.registry.tokens.check(typed[1], 0)
    assert token is not None and token.purpose == "capture" and token.data["name"] == "golden"


def test_a_node_by_the_imager(admin, house: House) -> None:
    node = add(house, "n1", NodeState.RUNNING)
    page = admin.get(f"/nodes/{node.id}").text
    assert f'href="/nodes/{node.id}/capture"' in page
    assert "the whole disk" in admin.get(f"/nodes/{node.id}/capture").text
    done = admin.post(f"/nodes/{node.id}/capture", {"name": "whole", "way": "disk", "comment": "as it was"})
    assert done.status_code == 302
    armed = house.appliance.nodes.show("n1").armed
    assert armed and armed.capture and (armed.image, armed.capture.kind) == ("whole", "disk")
    assert "its disk is to be captured as whole" in admin.get("/events").text
    assert "whole" in admin.get(f"/nodes/{node.id}").text


def test_a_stranger_makes_no_token(stranger) -> None:
    assert stranger.get("/images/capture").status_code in (302, 401)
    assert stranger.post("/images/capture", {"name": "golden"}).status_code in (302, 400, 401, 403)


def test_over_rest(app: Flask, house: House) -> None:
    api = app.test_client()
    api.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {house.appliance.users.issue_token('admin')}"
    made = api.post("/api/v1/captures", json={"name": "golden", "hours": 1})
    assert made.status_code == 201
    assert made.json["command"].endswith(f"capture --name golden --token={made.json['token']}")
    add(house, "n1", NodeState.RUNNING)
    armed = api.post("/api/v1/captures", json={"name": "whole", "node": "n1", "kind": "disk"})
    assert armed.json["node"]["armed"]["capture"] == "disk"
    moon = {"name": "x", "node": "n1", "kind": "moon"}
    for wrong in ({"name": "A"}, moon, {"name": "x", "hours": 1e9}, {}):
        assert api.post("/api/v1/captures", json=wrong).status_code == 400
    assert api.post("/api/v1/captures", json={"name": "x", "node": "n7"}).status_code == 404
