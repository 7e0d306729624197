"""Calls with large bodies, read into one buffer: whole ones are answered, others refused, nothing hangs."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from http.client import HTTPConnection

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pxe.http.inflow import LONGEST, Call, Read, Server, parse
from pxe.http.ports import Reply


class House:
    """Answers with what it was sent."""

    def __init__(self) -> None:
        self.gone = threading.Event()
        self.loop = asyncio.new_event_loop()
        self.server = Server(self.handle)
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        listener = socket.create_server(("127.0.0.1", 0))
        self.where: tuple[str, int] = listener.getsockname()
        asyncio.run_coroutine_threadsafe(self.server.listen(listener), self.loop).result(10)

    async def handle(self, call: Call, read: Read) -> Reply:
        if call.target == "/unread":
            return Reply(413, b"no", "text/plain")
        if call.target == "/bug":
            raise ValueError("a bug")
        try:
            body = bytes(await read())
        except ConnectionError:
            self.gone.set()
            raise
        return Reply(200, call.method.encode() + b" " + body, "text/plain", {"X-Size": str(len(body))})

    def close(self) -> None:
        asyncio.run_coroutine_threadsafe(self.server.close(0.2), self.loop).result(10)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)
        self.loop.close()

    def says(self, *pieces: bytes) -> bytes:
        """All that comes back on one connection, which we close for writing."""
        with socket.create_connection(self.where, 10) as sock:
            for piece in pieces:
                sock.sendall(piece)
            if not pieces[-1].endswith(b"open"):
                sock.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: sock.recv(65536), b""))


@pytest.fixture
def house() -> Iterator[House]:
    made = House()
    yield made
    made.close()


def test_bodies_of_any_size_on_one_connection(house: House) -> None:
    client = HTTPConnection(*house.where, timeout=10)
    for size in (0, 1, 65536, 5_000_000, 3):
        body = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
        client.request("POST", "/x?y=1", body)
        answer = client.getresponse()
        assert (answer.status, answer.getheader("X-Size")) == (200, str(size))
        assert answer.read() == b"POST " + body
    client.close()


def test_what_comes_in_pieces_or_all_at_once_is_the_same(house: House) -> None:
    head = b"POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n"
    last = b"GET /x HTTP/1.1\r\nConnection: close\r\n\r\n"
    whole = head + b"abc" + head + b"def" + last
    for pieces in ([whole], [whole[:20], whole[20:50], whole[50:]], [bytes([byte]) for byte in whole]):
        said = house.says(*pieces)
        assert [said.count(each) for each in (b"200 OK", b"POST abc", b"POST def", b"GET ")] == [3, 1, 1, 1]


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"POST /x HTTP/1.0\r\n\r\n", 400),
        (b"POST http://x/ HTTP/1.1\r\n\r\n", 400),
        (b"POST /x HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc", 400),
        (b"POST /x HTTP/1.1\r\nContent-Length: +3\r\n\r\nabc", 400),
        (b"POST /x HTTP/1.1\r\nContent-Length : 3\r\n\r\nabc", 400),
        (b"POST /x HTTP/1.1\r\nA: b\r\n folded\r\n\r\n", 400),
        (b"POST /x HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n", 400),
        (b"POST /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 411),
        ((b"POST /x HTTP/1.1\r\nA: " + b"a" * LONGEST)[:LONGEST], 431),
        (b"POST /unread HTTP/1.1\r\nContent-Length: 3\r\n\r\nabcPOST /x HTTP/1.1\r\n\r\n", 413),
        (b"POST /bug HTTP/1.1\r\nContent-Length: 3\r\n\r\n", 500),
    ],
)
def test_what_is_refused_ends_the_connection(house: House, raw: bytes, status: int) -> None:
    said = house.says(raw)
    assert said.startswith(b"HTTP/1.1 %d " % status) and b"Connection: close" in said
    assert said.count(b"HTTP/1.1") == 1


def test_who_sends_what_nobody_wants_hears_why(house: House) -> None:
    client = HTTPConnection(*house.where, timeout=10)
    client.request("POST", "/unread", bytes(50_000_000))
    assert client.getresponse().read() == b"no"
    client.close()


def test_a_sender_that_goes_away_is_noticed(house: House) -> None:
    assert house.says(b"POST /x HTTP/1.1\r\nContent-Length: 3\r\n\r\nab") == b""
    assert house.gone.wait(10)
    assert HTTPConnection(*house.where).request("POST", "/x", b"y") is None, "others are served"


def test_closing_waits_for_nobody(house: House) -> None:
    with socket.create_connection(house.where, 10) as idle, socket.create_connection(house.where, 10) as slow:
        slow.sendall(b"POST /x HTTP/1.1\r\nContent-Length: 3\r\n\r\nab")
        ends = time.monotonic() + 10
        while len(house.server.connections) < 2:
            assert time.monotonic() < ends
            time.sleep(0.01)
        asyncio.run_coroutine_threadsafe(house.server.close(0.2), house.loop).result(10)
        for sock in (idle, slow):
            with suppress(ConnectionResetError):
                assert sock.recv(1) == b""


@given(st.binary(max_size=200))
def test_any_head_is_a_call_or_refused(raw: bytes) -> None:
    for head in (raw, b"POST /x HTTP/1.1\r\n" + raw + b"\r\n\r\n"):
        assert isinstance(parse(head), (Call, Reply))
