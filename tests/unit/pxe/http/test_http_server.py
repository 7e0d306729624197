"""The server on loopback: files, the node API, forwarding; each with a real socket."""

import http.client
import random
import resource
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from http_house import House, Running

from pxe.http.ports import Denied, Reply, Wait

KERNEL = random.Random(1).randbytes(3_000_000)


class Web(BaseHTTPRequestHandler):
    """A small web process: tells what it was asked, streams, and takes uploads."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path == "/stream":
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            try:
                while not self.server.stop.wait(0.05):
                    self.wfile.write(b"7\r\ndata: x\r\n")
            except OSError:
                self.server.left.set()
            return
        if self.path == "/dies":
            self.send_response(200)
            self.send_header("Content-Length", "100")
            self.end_headers()
            self.wfile.write(b"half")
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        self._say(str(self.headers).encode())

    def do_POST(self):
        size = int(self.headers["Content-Length"])
        got = 0
        while got < size:
            piece = self.rfile.read(min(65536, size - got))
            if not piece:
                self.server.cut.set()
                return
            got += len(piece)
        self._say(f"{got} bytes".encode())

    def _say(self, body):
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Set-Cookie", "a=1")
        self.send_header("Set-Cookie", "b=2")
        self.send_header("Connection", "x-private")
        self.send_header("X-Private", "hop")
        self.end_headers()
        self.wfile.write(body)

    def address_string(self):
        return "unix"

    def log_message(self, *args):
        pass


class UnixServer(HTTPServer):
    address_family = socket.AF_UNIX

    def server_bind(self):
        self.socket.bind(self.server_address)
        self.server_name, self.server_port = "web", 0

    def get_request(self):
        connection, _ = self.socket.accept()
        return connection, ("unix", 0)


@pytest.fixture
def house(tmp_path):
    house = House(tmp_path)
    (tmp_path / "vmlinuz").write_bytes(KERNEL)
    house.files = {"imager/vmlinuz": tmp_path / "vmlinuz", "small": b"in memory"}
    (tmp_path / "public/x.html").write_text("<script>")
    return house


@pytest.fixture
def running(house, tmp_path):
    running = Running(house, tmp_path / "web.sock", tmp_path / "http.sock", node_body=1000, longest_wait=2.0)
    yield running
    running.close()


@pytest.fixture
def web(tmp_path):
    server = UnixServer(str(tmp_path / "web.sock"), Web)
    server.stop, server.left, server.cut = threading.Event(), threading.Event(), threading.Event()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.stop.set()
    server.shutdown()
    server.server_close()


def ask(running, method, path, body=None, headers=None, address="127.0.0.1"):
    port = dict(running.server.bound)[address]
    connection = http.client.HTTPConnection(address, port, timeout=10)
    connection.request(method, path, body, headers or {})
    response = connection.getresponse()
    content = response.read()
    connection.close()
    return response, content


def get(running, path, **headers):
    return ask(running, "GET", path, headers={n.replace("_", "-"): v for n, v in headers.items()})


def wait_for(condition, seconds=5):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)


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


def test_a_connection_is_kept(running):
    connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=10)
    sockets = set()
    for path in ("/boot/small", "/boot/imager/vmlinuz", "/boot/none", "/boot/small"):
        connection.request("GET", path)
        connection.getresponse().read()
        sockets.add(connection.sock)
    assert len(sockets) == 1
    connection.close()


def test_a_client_that_leaves_early_is_recorded_as_such(running, house, tmp_path, caplog):
    with (tmp_path / "vmlinuz").open("wb") as file:
        file.truncate(200_000_000)
    sock = socket.create_connection(("127.0.0.1", running.port))
    sock.sendall(b"GET /boot/imager/vmlinuz HTTP/1.1\r\nHost: x\r\n\r\n")
    sock.recv(100_000)
    sock.close()
    wait_for(lambda: len(house.events) == 2)
    data = house.events[1][2]
    assert data["aborted"] and 0 < data["bytes"] < 200_000_000
    assert caplog.text == "", "clients come and go; that is no error of ours"


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


def test_the_node_api_gets_what_the_node_sent(running, house):
    house.answers = [Reply(200, b'{"a":1}')]
    response, body = ask(running, "POST", "/node/v1/facts?x=1", b"{}", {"Authorization": "Bearer t"})
    assert (response.status, body, response.headers["Content-Type"]) == (200, b'{"a":1}', "application/json")
    asked = house.asked[0]
    assert (asked.method, asked.path, asked.query, asked.body) == ("POST", "facts", {"x": "1"}, b"{}")
    assert (asked.token, asked.peer) == ("t", "127.0.0.1")


def test_a_long_poll_waits_without_a_thread(running, house):
    house.answers = [Wait(0.1), Wait(0.1), Reply(200, b"now")]
    assert get(running, "/node/v1/task")[1] == b"now"
    waits = [asked.waited for asked in house.asked]
    assert waits[0] == 0 and waits == sorted(waits) and waits[2] >= 0.2
    house.answers = [Wait(0.5)] * 50
    started = time.monotonic()
    assert get(running, "/node/v1/task")[0].status == 204
    assert 1.9 < time.monotonic() - started < 20
    house.answers = [Wait(0.5)] * 2 + [Reply(200, b"late")]
    threads = [threading.Thread(target=get, args=(running, "/node/v1/task")) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(5)
    assert set(house.threads) == {"house_0"}


def test_a_node_that_leaves_is_not_asked_about_any_more(running, house):
    house.answers = [Wait(0.05)] * 1000
    sock = socket.create_connection(("127.0.0.1", running.port))
    sock.sendall(b"GET /node/v1/task HTTP/1.1\r\nHost: x\r\n\r\n")
    wait_for(lambda: len(house.asked) > 2)
    sock.close()

    def rests():
        before = len(house.asked)
        time.sleep(0.3)
        return len(house.asked) == before

    wait_for(rests)
    assert len(house.asked) < 900


def test_the_agent_talks_to_the_address_it_was_fetched_from(running):
    response, body = get(running, "/agent", Host="boot.cluster.test:8080")
    assert (response.status, body) == (200, b"# talks to http://boot.cluster.test:8080\n")
    etag = response.headers["ETag"]
    assert get(running, "/agent", Host="boot.cluster.test:8080", If_None_Match=etag)[0].status == 304
    for evil in ('x"; import os #', "a b", "[::1", "a:123456"):
        assert get(running, "/agent", Host=evil)[0].status == 400


def test_too_large_a_body_is_refused(running, house):
    response, body = ask(running, "POST", "/node/v1/log", b"x" * 1001)
    assert response.status == 413 and body
    assert house.asked == []


def test_a_failing_house_is_500_and_never_404(running, house, monkeypatch, caplog):
    house.answers = [RuntimeError("database is locked")]
    response, body = get(running, "/node/v1/task")
    assert response.status == 500 and b"locked" not in body
    assert "database is locked" in caplog.text
    monkeypatch.setattr(house, "public", lambda name: 1 / 0)
    assert get(running, "/public/x")[0].status == 500


def test_a_file_that_vanished_is_404_and_one_that_cannot_be_read_500(running, house, monkeypatch):
    def gone(self):
        raise FileNotFoundError(2, "gone")

    def denied(self):
        raise PermissionError(13, "denied")

    monkeypatch.setattr("pxe.catalogue.Entry.open", gone)
    assert get(running, "/boot/imager/vmlinuz")[0].status == 404
    monkeypatch.setattr("pxe.catalogue.Entry.open", denied)
    assert get(running, "/boot/imager/vmlinuz")[0].status == 500


def test_forwarding_tells_who_asks_and_drops_what_the_client_claims(running, web):
    response, body = get(
        running,
        "/nodes?x=%2F",
        X_Forwarded_For="6.6.6.6",
        X_Real_IP="6.6.6.6",
        Forwarded="for=6.6.6.6",
        Cookie="s=1",
    )
    text = body.decode()
    assert "X-Forwarded-For: 127.0.0.1" in text and "6.6.6.6" not in text and "Cookie: s=1" in text
    assert response.headers.get_all("Set-Cookie") == ["a=1", "b=2"]
    assert "X-Private" not in response.headers


def test_forwarding_drops_names_that_a_wsgi_server_would_mistake(running, web):
    claims = {"SCRIPT_NAME": "/x", "X_Forwarded_For": "6.6.6.6", "X-Fine": "yes"}
    text = ask(running, "GET", "/nodes", headers=claims)[1].decode()
    assert "SCRIPT_NAME" not in text and "6.6.6.6" not in text and "X-Fine: yes" in text


def test_forwarding_streams_events_and_ends_with_the_client(running, web):
    sock = socket.create_connection(("127.0.0.1", running.port))
    sock.sendall(b"GET /stream HTTP/1.1\r\nHost: x\r\n\r\n")
    got, started = b"", time.monotonic()
    while got.count(b"data: x") < 3:
        got += sock.recv(1000)
    assert time.monotonic() - started < 10  # nobody waited for an end, which there is not
    sock.close()
    assert web.left.wait(5)


def test_stopping_does_not_wait_for_streams(house, web, tmp_path):
    running = Running(house, tmp_path / "web.sock")
    sock = socket.create_connection(("127.0.0.1", running.port))
    sock.sendall(b"GET /stream HTTP/1.1\r\nHost: x\r\n\r\n")
    sock.recv(1000)
    started = time.monotonic()
    running.close()
    assert time.monotonic() - started < 8
    sock.close()


def test_forwarding_takes_large_uploads(running, web):
    response, body = ask(running, "POST", "/upload", b"x" * 5_000_000, {"Expect": "100-continue"})
    assert (response.status, body) == (200, b"5000000 bytes")


def test_a_web_process_that_dies_half_way_is_not_a_complete_answer(running, web):
    with pytest.raises((http.client.IncompleteRead, ConnectionError)):
        get(running, "/dies")


def test_no_web_process_is_one_clear_line(running):
    response, body = get(running, "/nodes")
    assert response.status == 502 and b"web process is not running" in body and body.count(b"\n") == 1


def test_the_unix_socket_serves_the_same(running, tmp_path):
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(str(tmp_path / "http.sock"))
    sock.sendall(b"GET /boot/small HTTP/1.0\r\n\r\n")
    answer = b""
    while chunk := sock.recv(1000):
        answer += chunk
    assert answer.endswith(b"\r\n\r\nin memory")


def test_expect_100_is_answered_first(running, house):
    sock = socket.create_connection(("127.0.0.1", running.port))
    sock.settimeout(3)
    sock.sendall(
        b"POST /node/v1/log HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n"
    )
    assert sock.recv(1000).startswith(b"HTTP/1.1 100 ")
    sock.sendall(b"x")
    assert sock.recv(1000).startswith(b"HTTP/1.1 204 ")


def test_a_taken_port_names_the_address(running, house):
    with pytest.raises(OSError, match=f"127.0.0.1 port {running.port}"):
        running.do(_start_again(house, running.port))


async def _start_again(house, port):
    from pxe.http.server import HttpServer

    server = HttpServer(house, house, None)
    await server.start([("127.0.0.1", port)])


@pytest.mark.parametrize(
    "request_of",
    [
        b"",
        b"GET /boot/small HTT",
        b"GET /boot/small HTTP/1.1\r\nHost: x\r\n",
        b"POST /node/v1/log HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabc",
        b"POST /login HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabc",
        b"POST /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 90000\r\n\r\nabc",
    ],
)
def test_who_stops_in_the_middle_of_a_request_is_let_go(house, web, tmp_path, request_of):
    running = Running(house, tmp_path / "web.sock", idle=0.5, sending=0.5)
    try:
        with socket.create_connection(("127.0.0.1", running.port)) as sock:
            sock.settimeout(10)
            sock.sendall(request_of)
            answer = b""
            while b"\r\n\r\n" not in answer and (piece := sock.recv(1000)):
                answer += piece
        assert answer.startswith(b"HTTP/1.1 408 ") == request_of.startswith(b"POST")
        assert not house.asked
        if b"/upload" in request_of:
            assert web.cut.wait(5)  # the web process does not wait for the rest either
    finally:
        running.close()


def test_many_slow_clients_do_not_starve_a_quick_one(running, tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 8192)), hard))
    with (tmp_path / "vmlinuz").open("wb") as file:
        file.truncate(50_000_000)
    slow = []
    for _ in range(1000):
        sock = socket.create_connection(("127.0.0.1", running.port))
        sock.sendall(b"GET /boot/imager/vmlinuz HTTP/1.1\r\nHost: x\r\n\r\n")
        slow.append(sock)
    before = threading.active_count()
    started = time.monotonic()
    assert get(running, "/boot/small")[1] == b"in memory"
    assert time.monotonic() - started < 5
    assert threading.active_count() <= before
    for sock in slow:
        sock.close()


@pytest.mark.parametrize(
    "junk", [b"GET / HTTP/9.9\r\n\r\n", b"GET / HTTP/1.1\r\nX: " + b"b" * 9000 + b"\r\n\r\n"]
)
def test_what_is_no_http_is_400_and_fills_no_log(running, caplog, junk):
    with socket.create_connection(running.server.bound[0], 5) as client:
        client.sendall(junk)
        assert b" 400 " in client.recv(4096).split(b"\r\n", 1)[0]
    assert not caplog.records
