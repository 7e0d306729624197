"""What goes on to the web process: who asks is told, streams and uploads pass, its end is noticed."""

import http.client
import socket
import time

import pytest
from http_house import Running, ask, get


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
