"""What people see: the board, a node's own page, images, and pages that are not there."""

from __future__ import annotations

import re

import pytest
from webhouse import FACTS, MAC, House, add, put

from bootsrv.config import load
from bootsrv.model import Armed, NodeState


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
