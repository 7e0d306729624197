"""What nodes say and ask for: the node API with its long polls, and the agent's script."""

import socket
import threading
import time

from http_house import ask, get, wait_for

from pxe.http.ports import Reply, Wait


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


def test_expect_100_is_answered_first(running, house):
    sock = socket.create_connection(("127.0.0.1", running.port))
    sock.settimeout(3)
    sock.sendall(
        b"POST /node/v1/log HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n"
    )
    assert sock.recv(1000).startswith(b"HTTP/1.1 100 ")
    sock.sendall(b"x")
    assert sock.recv(1000).startswith(b"HTTP/1.1 204 ")
