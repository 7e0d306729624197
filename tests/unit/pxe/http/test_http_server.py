"""Connections: kept, given up, cut off, too many, and what is no HTTP at all."""

import http.client
import resource
import socket
import threading
import time

import pytest
from http_house import Running, get, wait_for


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


def test_the_unix_socket_serves_the_same(running, tmp_path):
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(str(tmp_path / "http.sock"))
    sock.sendall(b"GET /boot/small HTTP/1.0\r\n\r\n")
    answer = b""
    while chunk := sock.recv(1000):
        answer += chunk
    assert answer.endswith(b"\r\n\r\nin memory")


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
