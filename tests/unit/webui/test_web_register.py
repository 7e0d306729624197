"""Adopting and adding nodes, with the page's forms posted as a browser without script would."""

from __future__ import annotations

import re

import pytest
from webhouse import FACTS, MAC, House

from bootsrv.appliance.nodes import Wanted
from bootsrv.model import NodeState

GOOD = {"name": "n1", "image": "debian", "method": "reserved", "address": "10.77.0.11"}


def error_beside(html: str, field: str) -> str | None:
    found = re.search(rf'id="e-{field}">([^<]*)<', html)
    return found[1] if found else None


def test_adopting_registers_and_arms(admin, house: House) -> None:
    seen = house.seen(MAC, facts=FACTS)
    form = admin.get(f"/nodes/{seen.id}/adopt").text
    assert 'value="10.77.0.11"' in form
    answer = admin.post(f"/nodes/{seen.id}/adopt", GOOD)
    assert (answer.status_code, answer.location) == (302, "/")
    node = house.appliance.nodes.show("n1")
    assert (node.macs, str(node.address), node.state) == ((MAC,), "10.77.0.11", NodeState.ARMED)
    assert node.armed is not None
    assert node.armed.image == "debian@2"
    assert "n1 is registered and gets debian@2" in admin.get("/").text


def test_adopting_without_an_image_only_registers(admin, house: House) -> None:
    seen = house.seen(MAC)
    admin.post(f"/nodes/{seen.id}/adopt", {**GOOD, "image": ""})
    assert house.appliance.nodes.show("n1").state is NodeState.REGISTERED


@pytest.mark.parametrize(
    ("change", "field", "says"),
    [
        ({"name": ""}, "name", "Give it a name."),
        ({"name": "no_good!"}, "name", "letters, digits and hyphens"),
        ({"name": "taken"}, "name", "is taken"),
        ({"address": ""}, "address", "needs an address"),
        ({"address": "10.77.0"}, "address", "is not an IPv4 address"),
        ({"address": "10.99.0.1"}, "address", "in no subnet"),
        ({"address": "10.77.0.12"}, "address", "belongs to taken"),
        ({"address": "10.77.0.1"}, "address", "is a router"),
        ({"image": "gone"}, "image", "there is no image"),
        ({"method": "magic"}, "address", "none of"),
    ],
)
def test_what_is_wrong_stands_beside_its_field(
    admin, house: House, change: dict[str, str], field: str, says: str
) -> None:
    house.appliance.nodes.add(Wanted(name="taken", macs=["52:54:00:00:09:09"], address="10.77.0.12"))
    seen = house.seen(MAC)
    answer = admin.post(f"/nodes/{seen.id}/adopt", {**GOOD, **change})
    assert answer.status_code == 422
    beside = error_beside(answer.text, field)
    assert beside is not None
    assert says.lower() in beside.lower().replace("&#39;", "'")
    assert f'aria-describedby="e-{field}' in answer.text
    for name, value in {**GOOD, **change}.items():
        if name in ("name", "address"):
            assert f'value="{value}"' in answer.text, "what was typed must not be lost"
    assert house.appliance.nodes.show(MAC).state is NodeState.DISCOVERED, "nothing half-done"


def test_a_dynamic_node_needs_no_address(admin, house: House) -> None:
    seen = house.seen(MAC)
    admin.post(f"/nodes/{seen.id}/adopt", {**GOOD, "method": "dynamic", "address": "10.77.0.11"})
    assert house.appliance.nodes.show("n1").address is None


def test_a_machine_takes_the_place_that_a_range_kept_for_it(admin, house: House) -> None:
    house.appliance.nodes.add_range("n", "01", "03", "10.77.0.31", Wanted(image="compute"))
    seen = house.seen(MAC)
    form = admin.get(f"/nodes/{seen.id}/adopt").text
    assert 'value="n01"' in form
    assert 'value="10.77.0.31"' in form
    assert "3 registered names wait" in form
    admin.post(f"/nodes/{seen.id}/adopt", {"name": "n02", "method": "reserved", "image": "", "address": ""})
    node = house.appliance.nodes.show("n02")
    assert (node.macs, str(node.address), node.image) == ((MAC,), "10.77.0.32", "compute")


def test_adopting_twice_is_no_accident(admin, house: House) -> None:
    seen = house.seen(MAC)
    admin.post(f"/nodes/{seen.id}/adopt", GOOD)
    again = admin.post(f"/nodes/{seen.id}/adopt", {**GOOD, "name": "n2", "address": "10.77.0.12"})
    assert again.status_code == 302
    assert house.appliance.nodes.show(MAC).name == "n1"


def test_adding_a_node(admin, house: House) -> None:
    admin.get("/nodes/add")
    answer = admin.post("/nodes/add", {**GOOD, "mac": "5254.0000.0001, 52-54-00-00-00-02"})
    assert answer.status_code == 302
    assert house.appliance.nodes.show("n1").macs == (MAC, "52:54:00:00:00:02")


@pytest.mark.parametrize(
    ("mac", "says"), [("", "Which machine"), ("nonsense", "is not a MAC"), ("01:00:5e:00:00:01", "")]
)
def test_adding_with_a_bad_mac(admin, house: House, mac: str, says: str) -> None:
    answer = admin.post("/nodes/add", {**GOOD, "mac": mac})
    assert answer.status_code == 422
    assert says in answer.text
    assert not house.appliance.nodes.list()


def test_adding_a_range(admin, house: House) -> None:
    fields = {
        "base": "n",
        "first": "01",
        "last": "32",
        "address": "10.77.0.11",
        "method": "reserved",
        "image": "debian",
    }
    answer = admin.post("/nodes/range", fields)
    assert answer.status_code == 302
    nodes = house.appliance.nodes.list()
    assert len(nodes) == 32
    assert (nodes[-1].name, str(nodes[-1].address)) == ("n32", "10.77.0.42")
    assert "32 nodes registered: n01 to n32" in admin.get("/").text


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"base": ""}, "base"),
        ({"base": "n_"}, "base"),
        ({"first": "x"}, "first"),
        ({"last": ""}, "last"),
        ({"last": "0"}, "last"),
        ({"last": "999999999"}, "last"),
        ({"address": "10.77.0.250"}, "address"),
        ({"address": ""}, "address"),
        ({"image": "gone"}, "image"),
    ],
)
def test_a_bad_range_registers_nothing(admin, house: House, change: dict[str, str], field: str) -> None:
    fields = {
        "base": "n",
        "first": "1",
        "last": "9",
        "address": "10.77.0.11",
        "method": "reserved",
        "image": "",
    }
    answer = admin.post("/nodes/range", {**fields, **change})
    assert answer.status_code == 422
    assert error_beside(answer.text, field), answer.text
    assert not house.appliance.nodes.list()


def test_a_range_that_runs_backwards_says_what_to_type(admin) -> None:
    fields = {"base": "n", "first": "9", "last": "5", "method": "dynamic", "image": ""}
    text = admin.post("/nodes/range", fields).text
    assert "The range runs backwards: type 9 or a larger number." in text
