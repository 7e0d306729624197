"""How a node boots without its disk: set in the page and over REST, and what its page says of it."""

from __future__ import annotations

from dataclasses import replace

from webhouse import House, add

from bootsrv import lifecycle
from bootsrv.model import BootMode, Node, NodeState, Root, RootKind, Writes
from bootsrv.registry.upkeep import Room


def fields(node: Node, **more: str) -> dict[str, str]:
    plain = {
        "name": str(node.name),
        "mac": " ".join(node.macs),
        "image": "debian",
        "method": node.method.value,
    }
    return {**plain, "address": str(node.address or ""), **more}


def test_the_form_sets_and_takes_back(admin, house: House) -> None:  # type: ignore[no-untyped-def]
    node = add(house, "n1", image="debian")
    page = admin.get(f"/nodes/{node.id}/edit").text
    assert "As its groups say (local)" in page and "As its groups say (ram)" in page
    wish = {
        "mode": "diskless",
        "root": "nbd",
        "writes": "paths",
        "paths": "/home /srv",
        "write_limit": "512M",
    }
    assert admin.post(f"/nodes/{node.id}/edit", fields(node, **wish)).status_code == 302
    node = house.appliance.nodes.show("n1")
    assert node.boots is BootMode.DISKLESS
    assert node.root == Root(RootKind.NBD, Writes.PATHS, ("/home", "/srv"), 512 << 20)
    page = admin.get(f"/nodes/{node.id}/edit").text
    assert 'value="/home /srv"' in page and 'value="512M"' in page
    assert "over NBD, keeps /home, /srv, at most 512 MiB" in admin.get(f"/nodes/{node.id}").text
    wrong = admin.post(f"/nodes/{node.id}/edit", fields(node, **{**wish, "paths": "home"}))
    assert wrong.status_code == 422 and "absolute path" in wrong.text
    admin.post(f"/nodes/{node.id}/edit", fields(node))
    node = house.appliance.nodes.show("n1")
    assert (node.boots, node.root) == (BootMode.LOCAL, Root())


def test_its_page_says_what_it_runs_and_how_full_it_is(admin, house: House) -> None:  # type: ignore[no-untyped-def]
    node = add(house, "n1", image="debian")
    registry = house.appliance.registry
    node = lifecycle.rooted(replace(node, mode=BootMode.DISKLESS), "debian@2", Root(), 1.0)
    node = registry.nodes.save(replace(node, state=NodeState.RUNNING, running="debian@2", armed=None))
    registry.upkeep.set_room(node.id, Room(48 << 20, 512 << 20, 2.0))
    page = admin.get(f"/nodes/{node.id}").text
    assert "debian@2: in memory, nothing is kept" in page and "Has written 48 MiB of 512 MiB" in page
    registry.nodes.save(replace(node, error="verify: block 7 of the root is not what this server signed"))
    page = admin.get(f"/nodes/{node.id}").text
    assert "It could not boot diskless" in page and "block 7" in page and "Imaging failed" not in page


def test_rest(admin, house: House) -> None:  # type: ignore[no-untyped-def]
    add(house, "n1", image="debian")
    headers = {"X-CSRF-Token": admin.token()}
    client = admin.client
    body = {"nodes": "n1", "image": "debian", "root": "nfs", "writes": "keep", "write_limit": "1G"}
    answer = client.post("/api/v1/diskless", json=body, headers=headers)
    assert answer.status_code == 200
    found = client.get("/api/v1/nodes/n1").json
    assert (found["mode"], found["rooted"], found["room"]) == ("diskless", None, None)
    assert found["diskless"] == {"root": "nfs", "writes": "keep", "paths": [], "write_limit": 1 << 30}
    changed = {"root": None, "writes": None, "write_limit": None}
    found = client.patch("/api/v1/nodes/n1", json=changed, headers=headers).json
    assert found["diskless"] == {"root": "ram", "writes": "discard", "paths": [], "write_limit": None}
    refused = client.patch("/api/v1/nodes/n1", json={"writes": "keep"}, headers=headers)
    assert refused.status_code == 400 and "does without the server" in refused.json["error"]["reason"]
    found = client.post("/api/v1/local", json={"nodes": "n1"}, headers=headers).json["nodes"][0]
    assert (found["mode"], found["diskless"]) == ("local", None)
