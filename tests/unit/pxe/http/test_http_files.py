"""What is fetched: scripts, boot files, public files, install trees, the store; each with a real socket."""

import socket

import pytest
from http_house import KERNEL, Running, ask, get, wait_for

from pxe.http.ports import Denied, Wait


def test_the_script_of_a_machine(running, house):
    response, body = get(running, "/boot/52-54-00-00-00-01/script.ipxe?arch=efi")
    assert (response.status, body) == (
        200,
        b"#!script.ipxe\n# 52:54:00:00:00:01 {'arch': 'efi'} reached 127.0.0.1 from 127.0.0.1\n",
    )
    assert response.headers["Cache-Control"] == "no-store"
    assert house.events[-1][1] == "http.done"


def test_a_script_that_is_another_machines_is_refused(running, house):
    house.scripts = [Wait(0.01), Wait(0.01), Denied(403, "not yours")]
    response, body = get(running, "/boot/52-54-00-00-00-01/script.ipxe")
    assert (response.status, body, house.events) == (403, b"not yours\n", [])
    assert response.headers["Cache-Control"] == "no-store"


def test_a_look_at_a_script_starts_nothing(running, house):
    response, body = ask(running, "HEAD", "/boot/52-54-00-00-00-01/script.ipxe")
    assert (response.status, body, house.events, house.threads) == (200, b"", [], set())


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_a_boot_file_and_its_record(running, house, address):
    response, body = ask(running, "GET", "/boot/imager/vmlinuz", address=address)
    assert response.status == 200 and body == KERNEL
    wait_for(lambda: len(house.events) == 2)
    (peer, start, _), (_, done, data) = house.events
    assert (peer, start, done) == (address, "http.start", "http.done")
    assert (data["file"], data["bytes"], data["aborted"]) == ("imager/vmlinuz", len(KERNEL), False)


def test_what_is_made_for_a_machine(running, house):
    house.made = {"loaders/autoexec.ipxe": b"#!ipxe\n# for "}
    response, body = get(running, "/boot/loaders/autoexec.ipxe")
    assert (response.status, body) == (200, b"#!ipxe\n# for 127.0.0.1")
    assert not any("MainThread" in name for name in house.threads), "the house may ask its database for it"


@pytest.mark.parametrize("program", ["UefiHttpBoot/1.0", "iPXE/1.21.1+git2025", "GRUB 2.06-13+deb12u2"])
def test_what_boot_programs_ask_for_is_recorded(running, house, program):
    (house.root / "public" / "grub.cfg").write_bytes(b"boot")
    assert get(running, "/public/grub.cfg", User_Agent="curl/8.5.0")[1] == b"boot"
    assert get(running, "/public/none", User_Agent="curl/8.5.0")[0].status == 404
    assert house.events == []
    response, body = get(running, "/public/grub.cfg", User_Agent=program)
    assert (body, response.headers["Content-Security-Policy"]) == (b"boot", "sandbox")
    assert get(running, "/public/none", User_Agent=program)[0].status == 404
    wait_for(lambda: len(house.events) == 3)
    assert [(kind, data["file"]) for _, kind, data in house.events] == [
        ("http.start", "grub.cfg"), ("http.done", "grub.cfg"), ("http.missing", "none"),
    ]  # fmt: skip


def test_head_range_and_condition(running, house):
    response, body = ask(running, "HEAD", "/boot/imager/vmlinuz")
    assert (response.headers["Content-Length"], body) == (str(len(KERNEL)), b"")
    assert house.events == []
    etag = response.headers["ETag"]
    response, body = get(running, "/boot/imager/vmlinuz", Range="bytes=1000000-1999999", If_Range=etag)
    assert (response.status, body) == (206, KERNEL[1_000_000:2_000_000])
    response, body = get(running, "/boot/imager/vmlinuz", If_None_Match=etag)
    assert (response.status, body) == (304, b"")
    response, _ = get(running, "/boot/imager/vmlinuz", Range="bytes=9999999-")
    assert response.status == 416
    assert get(running, "/boot/small", Range="bytes=3-")[1] == b"memory"


def test_a_file_that_shrinks_is_cut_off_and_not_filled_up(running, house, tmp_path, caplog):
    with (tmp_path / "vmlinuz").open("wb") as file:
        file.truncate(200_000_000)
    sock = socket.create_connection(("127.0.0.1", running.port))
    sock.sendall(b"GET /boot/imager/vmlinuz HTTP/1.1\r\nHost: x\r\n\r\n")
    got = len(sock.recv(1000))
    with (tmp_path / "vmlinuz").open("r+b") as file:
        file.truncate(40_000_000)
    try:
        while piece := sock.recv(1 << 20):
            got += len(piece)
    except ConnectionError:
        pass
    assert got < 60_000_000
    wait_for(lambda: house.events[-1][1] == "http.done")
    assert house.events[-1][2]["aborted"]
    assert "became shorter" in caplog.text and "Traceback" not in caplog.text


def test_public_files_cannot_act_as_the_admin(running):
    response, body = get(running, "/public/x.html")
    assert body == b"<script>"
    assert response.headers["Content-Security-Policy"] == "sandbox"
    assert get(running, "/public/../vmlinuz")[0].status == 404
    assert get(running, "/public/%2e%2e/vmlinuz")[0].status == 404


def test_a_file_of_an_install_tree(running, house):
    house.files = {"tree/f41/images/vmlinuz": b"0123456789"}
    response, body = get(running, "/tree/f41/images/vmlinuz", Range="bytes=2-4")
    assert (response.status, body) == (206, b"234")
    assert response.headers["Content-Security-Policy"] == "sandbox"
    assert get(running, "/tree/f41/images/none")[0].status == 404
    assert ask(running, "GET", "/tree/f41/images/vmlinuz", headers={"User-Agent": "iPXE/1"})[0].status == 200
    wait_for(lambda: len(house.events) == 2)
    assert [(kind, data["file"]) for _, kind, data in house.events] == [
        ("http.start", "tree/f41/images/vmlinuz"),
        ("http.done", "tree/f41/images/vmlinuz"),
    ]


def test_the_store_asks_for_a_token(running, house, tmp_path):
    house.stored["packs", "p1"] = tmp_path / "vmlinuz"
    house.stored["locators", "l1"] = b"locator"
    house.stored["manifests", "m1"] = Denied(403, "not your image")
    assert get(running, "/store/packs/p1")[0].status == 401
    assert get(running, "/store/packs/p1", Authorization="Bearer bad")[0].status == 403
    good = {"Authorization": "Bearer good"}
    response, body = get(running, "/store/packs/p1", Range="bytes=5-9", **good)
    assert (response.status, body, response.headers["ETag"]) == (206, KERNEL[5:10], '"p1"')
    assert get(running, "/store/locators/l1", **good)[1] == b"locator"
    response, body = get(running, "/store/manifests/m1", **good)
    assert (response.status, body) == (403, b"not your image\n")
    assert get(running, "/store/packs/none", **good)[0].status == 404


def test_what_the_store_is_making_is_waited_for(running, house):
    house.stored["locators", "l1"], house.waits = b"locator", 4
    response, body = get(running, "/store/locators/l1", Authorization="Bearer good")
    assert (response.status, body, house.waits) == (200, b"locator", 0)


def test_what_takes_long_to_make_is_to_be_asked_for_again(house):
    """A node takes a server that says nothing for so long for dead; 503 lets it ask again."""
    house.stored["locators", "l1"], house.waits = b"locator", 10_000
    running = Running(house, making=0.1)
    try:
        assert get(running, "/store/locators/l1", Authorization="Bearer good")[0].status == 503
        house.waits = 0
        assert get(running, "/store/locators/l1", Authorization="Bearer good")[0].status == 200
    finally:
        running.close()


def test_a_file_that_vanished_is_404_and_one_that_cannot_be_read_500(running, house, monkeypatch):
    def gone(self):
        raise FileNotFoundError(2, "gone")

    def denied(self):
        raise PermissionError(13, "denied")

    monkeypatch.setattr("pxe.catalogue.Entry.open", gone)
    assert get(running, "/boot/imager/vmlinuz")[0].status == 404
    monkeypatch.setattr("pxe.catalogue.Entry.open", denied)
    assert get(running, "/boot/imager/vmlinuz")[0].status == 500
