"""What people do to nodes that are registered: reimage, retry, edit, remove."""

from __future__ import annotations

from webhouse import FACTS, MAC, House, add, put

from bootsrv.model import Armed, NodeState


def test_reimage_asks_then_arms_once(admin, house: House) -> None:
    node = add(house, "n1", image="debian")
    page = admin.get(f"/nodes/reimage?id={node.id}").text
    assert "Its own image (debian)" in page
    assert "exactly once" in page
    answer = admin.post("/nodes/reimage", {"id": node.id, "image": "compute"})
    assert answer.location == f"/nodes/{node.id}"
    armed = house.appliance.nodes.show("n1").armed
    assert armed is not None
    assert armed.image == "compute@7"
    assert "Take it back" in admin.get(f"/nodes/{node.id}").text
    admin.post(f"/nodes/{node.id}/cancel")
    assert house.appliance.nodes.show("n1").armed is None


def test_reimaging_several_is_all_or_nothing(admin, house: House) -> None:
    nodes = [add(house, "n1", image="debian"), add(house, "n2", image=None)]
    answer = admin.post("/nodes/reimage", {"id": [node.id for node in nodes], "image": ""})
    assert answer.status_code == 422
    assert "N2 has no image" in answer.text
    assert all(node.armed is None for node in house.appliance.nodes.list())
    admin.post("/nodes/reimage", {"id": [node.id for node in nodes], "image": "debian@1"})
    assert [node.armed and node.armed.image for node in house.appliance.nodes.list()] == ["debian@1"] * 2


def test_reimaging_nothing_says_so(admin) -> None:
    assert admin.get("/nodes/reimage").location == "/"
    assert "Tick the nodes" in admin.get("/").text
    assert admin.post("/nodes/reimage", {"id": "4711"}).status_code == 404


def test_a_failure_is_shown_and_can_be_tried_again(admin, house: House) -> None:
    why = "prepare disk: /dev/vda has 4 GiB, the layout needs 6 GiB"
    node = put(
        house,
        add(house, "n1", image="debian"),
        state=NodeState.FAILED,
        error=why,
        armed=Armed("debian@2", 0.0),
    )
    page = admin.get(f"/nodes/{node.id}").text
    assert why in page
    assert "Retry" in page
    assert "Retry n1" in admin.get(f"/nodes/{node.id}/retry").text
    admin.post(f"/nodes/{node.id}/retry")
    again = house.appliance.nodes.show("n1")
    assert (again.state, again.error) == (NodeState.ARMED, None)
    assert admin.post(f"/nodes/{node.id}/retry").status_code == 422


def test_editing(admin, house: House) -> None:
    node = put(house, add(house, "n1", image="debian"), facts=FACTS)
    page = admin.get(f"/nodes/{node.id}/edit").text
    assert 'value="serial:VD-0815"' in page
    fields = {
        "name": "web",
        "mac": MAC,
        "image": "",
        "method": "static",
        "address": "10.77.0.77",
        "disk": "/dev/sda",
    }
    admin.post(f"/nodes/{node.id}/edit", {**fields, "groups": "rack1, web"})
    node = house.appliance.nodes.show("web")
    assert (node.macs, node.image, node.method.value, str(node.address)) == (
        (MAC,),
        None,
        "static",
        "10.77.0.77",
    )
    assert (node.disk, node.groups) == ("/dev/sda", ("rack1", "web"))
    admin.post(f"/nodes/{node.id}/edit", {**fields, "identities": "circuit-id=Gi1/0/7, serial=CZ3 112"})
    known = "circuit-id=Gi1/0/7, serial=cz3 112"
    assert known in admin.get(f"/nodes/{node.id}").text
    assert f'value="{known}"' in admin.get(f"/nodes/{node.id}/edit").text
    wrong = admin.post(f"/nodes/{node.id}/edit", {**fields, "identities": "uuid=none"})
    assert wrong.status_code == 422
    assert "is no UUID" in wrong.text
    admin.post(f"/nodes/{node.id}/edit", {**fields, "method": "dynamic", "disk": "", "groups": ""})
    node = house.appliance.nodes.show("web")
    assert (node.address, node.disk, node.groups) == (None, None, ())


def test_removing(admin, house: House) -> None:
    node = add(house, "n1")
    assert "Remove n1" in admin.get(f"/nodes/{node.id}/remove").text
    assert admin.post(f"/nodes/{node.id}/remove").location == "/"
    assert not house.appliance.nodes.list()
    gone = admin.get(f"/nodes/{node.id}")
    assert gone.status_code == 404
    assert "Not found" in gone.text


def test_one_that_is_being_imaged_is_not_removed(admin, house: House) -> None:
    node = put(house, add(house, "n1"), state=NodeState.IMAGING)
    answer = admin.post(f"/nodes/{node.id}/remove")
    assert answer.status_code == 422
    assert "is being imaged" in answer.text
