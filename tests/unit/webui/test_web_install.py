"""Installations in the page and over the API: asked first, armed once, refused with the reason."""

from __future__ import annotations

from pathlib import Path

import pytest
from flask import Flask
from webhouse import House, add

from bootsrv.model import NodeState

PROFILE = 'target = "debian13"\n[[users]]\nname = "ada"\nkeys = ["ssh-ed25519 AAAA ada"]\n'


@pytest.fixture
def ready(house: House, tmp_path: Path) -> House:
    images = tmp_path / "medium" / "debian-installer" / "amd64"
    images.mkdir(parents=True)
    (images / "linux").write_bytes(b"kernel")
    (images / "initrd.gz").write_bytes(b"initrd")
    (tmp_path / "medium" / "version.info").write_text("Debian version:  13 (trixie)\n")
    house.appliance.trees.import_(str(tmp_path / "medium"), "trixie")
    house.appliance.profiles.save("web", PROFILE, "test")
    return house


def test_install_asks_then_arms_once(admin, ready: House) -> None:
    node = add(ready, "n1")
    page = admin.get(f"/nodes/install?id={node.id}").text
    assert "exactly once" in page and "web" in page and "trixie" in page
    assert ready.appliance.nodes.show(f"#{node.id}").armed is None
    answer = admin.post("/nodes/install", {"id": node.id, "profile": "web", "tree": ""})
    assert answer.status_code == 302
    armed = ready.appliance.nodes.show(f"#{node.id}")
    assert armed.state is NodeState.ARMED and armed.armed is not None and armed.armed.install is not None
    shown = admin.get(f"/nodes/{node.id}").text
    assert "web from trixie" in shown and "Take it back" in shown
    admin.post(f"/nodes/{node.id}/cancel")
    assert ready.appliance.nodes.show(f"#{node.id}").armed is None


def test_a_profile_that_is_not_good_is_refused_there(admin, ready: House) -> None:
    node = add(ready, "n1")
    answer = admin.post("/nodes/install", {"id": node.id, "profile": "", "tree": ""})
    assert answer.status_code == 422 and "has no profile" in answer.text
    assert ready.appliance.nodes.show(f"#{node.id}").armed is None
    assert admin.post("/nodes/install", {"id": "4711"}).status_code == 404


def test_over_the_api(app: Flask, ready: House) -> None:
    api = app.test_client()
    api.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {ready.appliance.users.issue_token('admin')}"
    node = add(ready, "n1")
    answer = api.post("/api/v1/install", json={"nodes": node.name, "profile": "web"})
    assert answer.json["nodes"][0]["armed"]["install"] == {"profile": "web", "tree": "trixie"}
    assert api.post("/api/v1/install", json={"nodes": node.name, "profile": "none"}).status_code == 404
    assert api.post("/api/v1/install", json={"nodes": node.name, "image": "x"}).status_code == 400
