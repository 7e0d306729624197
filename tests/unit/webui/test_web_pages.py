"""What people see and fill in, with the page's forms posted as a browser without script would."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from webhouse import FACTS, MAC, House, add

from bootsrv.appliance.nodes import Wanted
from bootsrv.config import load
from bootsrv.model import Armed, Node, NodeState

GOOD = {"name": "n1", "image": "debian", "method": "reserved", "address": "10.77.0.11"}


def error_beside(html: str, field: str) -> str | None:
    found = re.search(rf'id="e-{field}">([^<]*)<', html)
    return found[1] if found else None


def put(house: House, node: Node, **changes: object) -> Node:
    return house.appliance.registry.nodes.save(replace(node, **changes))  # type: ignore[arg-type]


# --- the board


def test_an_empty_house_says_what_to_do(admin, house: House) -> None:
    house.appliance.images.store().all.clear()  # type: ignore[attr-defined]
    page = admin.get("/").text
    assert "No unknown machine" in page
    assert "network boot" in page
    assert "bootsrv node add" in page
    assert "No image yet" in admin.get("/images").text
    assert "Nothing has happened yet" in admin.get("/events").text


def test_a_server_that_answers_nobody_says_so(admin, house: House) -> None:
    assert "No machine is answered" not in admin.get("/").text
    house.config_file.write_text(house.config_file.read_text().replace('["lo"]', "[]"))
    house.appliance.config = load(house.config_file)
    assert "No machine is answered" in admin.get("/").text


def test_an_unknown_machine_stands_beside_the_nodes(admin, house: House) -> None:
    seen = house.seen(MAC, facts=FACTS)
    page = admin.get("/").text
    assert page.index("Unknown machines") < page.index(MAC) < page.index(">Nodes<")
    assert "Dell Inc. PowerEdge R6515" in page
    assert f'href="/nodes/{seen.id}/adopt"' in page


def test_a_machine_cannot_write_into_the_page(admin, house: House) -> None:
    nasty = "<script>alert(1)</script>\"'>"
    node = house.seen(
        MAC, facts={"dmi": {"vendor": nasty}, "cpu": {"model": nasty}, "disks": [{"path": nasty}]}
    )
    house.tell(node, "imager.up", nasty)
    house.appliance.registry.events.log(node.id, MAC, 0.0, nasty)
    for path in ("/", f"/nodes/{node.id}", f"/nodes/{node.id}/adopt", "/events"):
        page = admin.get(path).text
        assert "<script>alert" not in page
        assert "&lt;script&gt;alert" in page


def test_finding_and_filtering(admin, house: House) -> None:
    for name in ("web1", "web2", "db1"):
        add(house, name)
    put(house, house.appliance.nodes.show("db1"), state=NodeState.RUNNING)
    names = lambda query: re.findall(r'class="name"><a [^>]*>(\w+)<', admin.get(query).text)  # noqa: E731
    assert names("/?q=web") == ["web1", "web2"]
    assert names("/?q=10.77.0.13") == ["db1"]
    assert names("/?state=running") == ["db1"]
    assert names("/?q=WEB+10.77.0.12") == ["web2"]
    assert names("/?q=10.77.") == ["db1", "web1", "web2"]
    assert names("/?q=<b>") == []
    assert names("/?q=%25") == []
    assert "No node matches" in admin.get("/?q=<b>").text
    assert names("/?state=nonsense&page=-4") == ["db1", "web1", "web2"]


def test_many_nodes_come_in_pages(admin, house: House) -> None:
    house.appliance.nodes.add_range("n", "1", "230")
    first, last, past = (admin.get(f"/?page={n}").text for n in (1, 3, 99))
    assert first.count('name="id"') == 100
    assert last.count('name="id"') == 30
    assert "Page 3 of 3" in past
    assert 'rel="next"' in first
    assert 'rel="next"' not in last


def test_progress_is_on_the_board_and_on_the_node(admin, house: House) -> None:
    node = put(house, add(house, "n1"), state=NodeState.IMAGING, armed=Armed("debian@2", 0.0))
    assert "Preparing" in admin.get("/").text
    house.tell(node, "deploy.progress", "", done=600 << 20, total=900 << 20, rate=10 << 20)
    for path in ("/", f"/nodes/{node.id}"):
        page = admin.get(path).text
        for text in ("66 %", "600 MiB of 900 MiB", "10 MiB/s", "30 s left", 'value="0.6667"'):
            assert text in page


# --- adopting


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


# --- adding


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


# --- acting


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


# --- looking


def test_the_timeline_of_a_node(admin, house: House) -> None:
    node = add(house, "n1")
    for ago, kind in ((60, "dhcp.discover"), (55, "tftp.start"), (50, "imager.up"), (40, "deploy.started")):
        house.tell(node, kind, f"<{kind}>", ago=ago, stage="firmware")
    page = admin.get(f"/nodes/{node.id}").text
    assert "&lt;tftp.start&gt;" in page
    assert "0:05.0" in page
    for stage in ("firmware", "loader", "imager", "prepare disk"):
        assert stage in page
    assert page.count("<rect") >= 8


def test_the_console_log_grows(admin, house: House) -> None:
    node = add(house, "n1")
    log = house.appliance.registry.events.log
    log(node.id, node.macs[0], 0.0, "first\n")
    assert ">first\n</pre>" in admin.get(f"/nodes/{node.id}").text
    start = admin.get(f"/nodes/{node.id}/log").json
    log(node.id, node.macs[0], 0.0, "second\n")
    assert admin.get(f"/nodes/{node.id}/log?since={start['last']}").json["text"] == "second\n"
    assert admin.get(f"/nodes/{node.id}/log?since=junk").json["text"] == "first\nsecond\n"


def test_images_are_listed_with_sizes_and_use(admin, house: House) -> None:
    add(house, "n1", image="debian@1")
    page = admin.get("/images").text
    for text in ("debian@2", "stable", "931 MiB", "320 MiB", "on 1 node<", "2 versions", "2026-"):
        assert text in page
    assert page.index("debian@2") < page.index("debian@1")


def test_an_unknown_page_is_not_found(admin) -> None:
    assert admin.get("/nope").status_code == 404
    assert "There is no such page" in admin.get("/nope").text


def test_what_breaks_is_logged_and_not_shown(admin, house: House, caplog: pytest.LogCaptureFixture) -> None:
    def broken() -> None:
        raise OSError(28, "No space left on device", "/secret/path")

    house.appliance.images.readable = broken  # type: ignore[method-assign,assignment]
    answer = admin.get("/images")
    assert answer.status_code == 500
    assert "No space left on device" in answer.text
    assert "/secret/path" not in answer.text
    assert "/secret/path" in caplog.text


def test_an_unknown_machine_shows_the_address_that_it_was_leased(admin, house: House) -> None:
    import time
    from ipaddress import IPv4Address

    from pxe.dhcp.ports import Lease

    node = house.seen(MAC)
    lease = Lease(IPv4Address("10.77.0.123"), MAC, None, time.time() + 600)
    house.appliance.registry.leases.commit([lease])
    assert "10.77.0.123" in admin.get("/").text
    text = admin.get(f"/nodes/{node.id}").text
    assert '<dt>Leased</dt><dd class="mono">10.77.0.123</dd>' in text and "reserved" not in text


def test_a_progress_report_reads_as_words_in_a_timeline_and_on_the_events_page(admin, house: House) -> None:
    node = house.seen(MAC)
    house.tell(node, "dhcp.discover", "asks", stage="firmware")
    house.tell(node, "deploy.progress", "", done=1 << 29, total=1 << 30, rate=1.0 * (80 << 20))
    for path in (f"/nodes/{node.id}", "/events"):
        text = admin.get(path).text
        assert "512 MiB of 1.0 GiB written (50 %), 80 MiB/s" in text
    assert "deploy.progress</span>" not in admin.get(f"/nodes/{node.id}").text
