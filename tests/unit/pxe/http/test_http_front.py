"""Plain reads beside everything else on the same connections, over real sockets, on both kinds of loop."""

import errno
import os
import socket
import threading
import time

import pytest
from http_house import KERNEL, Running, wait_for

from pxe.http.front import Front
from pxe.http.openfiles import REST, OpenFiles
from pxe.http.ports import Denied, Reply

GET = b"GET /boot/imager/vmlinuz HTTP/1.1\r\nHost: x\r\n\r\n"
SMALL = b"GET /boot/small HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture(params=[True, False], ids=["hot", "plain"])
def running(request, house, tmp_path):
    running = Running(house, tmp_path / "web.sock", hot=request.param)
    yield running
    running.close()


@pytest.fixture
def moved(monkeypatch):
    """What was handed over to the complete server, as it was read."""
    seen = []
    hand_over = Front.hand_over

    def note(self, sock, raw):
        seen.append(raw)
        hand_over(self, sock, raw)

    monkeypatch.setattr(Front, "hand_over", note)
    return seen


class Client:
    """A connection that reads one answer after the other."""

    def __init__(self, running, buffer=None):
        self.sock = socket.socket()
        if buffer:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        self.sock.settimeout(20)
        self.sock.connect(("127.0.0.1", running.port))
        self.file = self.sock.makefile("rb")

    def send(self, raw):
        self.sock.sendall(raw)

    def answer(self, head=False):
        status = int(self.file.readline().split()[1])
        headers = {}
        while line := self.file.readline().strip():
            name, _, value = line.partition(b":")
            headers[name.decode().lower()] = value.strip().decode()
        body = b"" if head else self.file.read(int(headers.get("content-length", 0)))
        return status, headers, body

    def ask(self, raw):
        self.send(raw)
        return self.answer()

    def ended(self):
        return self.file.read(1) == b""

    def close(self):
        self.file.close()
        self.sock.close()


@pytest.fixture
def client(running):
    client = Client(running)
    yield client
    client.close()


def test_files_are_answered_here(client, moved):
    status, headers, body = client.ask(GET)
    assert (status, body) == (200, KERNEL)
    assert headers["content-type"] == "application/octet-stream" and "date" in headers
    assert client.ask(SMALL)[2] == b"in memory"
    part = GET[:-2] + b"Range: bytes=1000-1999\r\n\r\n"
    status, headers, body = client.ask(part)
    assert (status, body, headers["content-range"]) == (206, KERNEL[1000:2000], "bytes 1000-1999/3000000")
    etag = headers["etag"].encode()
    assert client.ask(part[:-2] + b"If-Range: " + etag + b"\r\n\r\n")[0] == 206
    assert client.ask(part[:-2] + b'If-Range: "older"\r\n\r\n')[:3:2] == (200, KERNEL)
    assert client.ask(GET[:-2] + b"If-None-Match: " + etag + b"\r\n\r\n")[0] == 304
    assert client.ask(GET[:-2] + b"Range: bytes=9999999-\r\n\r\n")[0] == 416
    client.send(GET.replace(b"GET", b"HEAD"))
    assert client.answer(head=True)[1]["content-length"] == str(len(KERNEL))
    assert client.ask(SMALL)[2] == b"in memory"
    assert moved == []


def test_what_the_house_is_asked_for_is_answered_here_too(client, house, moved, tmp_path):
    house.files = {"tree/f41/images/vmlinuz": b"0123456789", "mirror/deb/pool/a.deb": b"package"}
    house.stored["packs", "p1"] = tmp_path / "vmlinuz"
    tree = b"GET /tree/f41/images/vmlinuz HTTP/1.1\r\nHost: x\r\nRange: bytes=2-4\r\n\r\n"
    status, headers, body = client.ask(tree)
    assert (status, body, headers["content-security-policy"]) == (206, b"234", "sandbox")
    assert client.ask(b"GET /mirror/deb/pool/a.deb HTTP/1.1\r\nHost: x\r\n\r\n")[2] == b"package"
    pack = b"GET /store/packs/p1 HTTP/1.1\r\nHost: x\r\n"
    pack += b"Authorization: Bearer good\r\nRange: bytes=5-9\r\n\r\n"
    status, headers, body = client.ask(pack + tree)  # the second waits until the first is answered
    assert (status, body, headers["etag"]) == (206, KERNEL[5:10], '"p1"')
    assert client.answer()[2] == b"234"
    assert house.threads == {"house_0"} and moved == []
    status, headers, _ = client.ask(pack.replace(b"good", b"bad"))
    assert status == 403 and len(moved) == 1


def test_a_token_is_asked_for_where_there_is_none(client, house):
    house.stored["packs", "p1"] = Denied(401)
    status, headers, _ = client.ask(b"GET /store/packs/p1 HTTP/1.1\r\nHost: x\r\n\r\n")
    assert (status, headers["www-authenticate"]) == (401, "Bearer")


def test_plain_reads_and_all_else_in_turns_on_one_connection(client, house, moved):
    house.answers = [Reply(200, b"{}")] * 3
    for _ in range(3):
        assert client.ask(GET)[2] == KERNEL
        call = b"POST /node/v1/facts HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"
        assert client.ask(call)[2] == b"{}"
        assert client.ask(b"GET /boot/none HTTP/1.1\r\nHost: x\r\n\r\n")[0] == 404
        script = b"GET /boot/52-54-00-00-00-01/script.ipxe HTTP/1.1\r\nHost: x\r\n\r\n"
        assert client.ask(script)[2].startswith(b"#!")
    assert [asked.body for asked in house.asked] == [b"abc"] * 3
    assert len(moved) == 1, "it stays with the complete server"


def test_all_at_once_is_answered_in_order(client, house, moved):
    house.answers = [Reply(200, b"node")]
    call = b"POST /node/v1/facts HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"
    client.send(SMALL * 20 + GET + SMALL + call + GET + SMALL)
    for _ in range(20):
        assert client.answer()[2] == b"in memory"
    assert [client.answer()[2] for _ in range(5)] == [KERNEL, b"in memory", b"node", KERNEL, b"in memory"]
    assert moved == [call + GET + SMALL]


def test_a_request_in_small_pieces(client, moved):
    client.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for byte in SMALL * 2:
        client.send(bytes([byte]))
    assert [client.answer()[2] for _ in range(2)] == [b"in memory"] * 2
    call = b"POST /node/v1/facts HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\na"
    for byte in call:
        client.send(bytes([byte]))
    assert client.answer()[0] == 204
    assert len(moved) == 1 and call.startswith(moved[0])


@pytest.mark.parametrize(
    "raw",
    [
        b"GET /boot/small HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"GET /boot/small HTTP/1.1\r\nHost: x\r\nContent-Length : 5\r\n\r\nabcde",
        b"GET /boot/small HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\nContent-Length: x\r\n\r\n",
        b"POST /node/v1/x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n\r\n",
        b"GET /boot/small HTTP/1.1\r\nHost: x\r\nA\0: b\r\n\r\n",
        b"GET /boot/small HTTP/1.1\nHost: x\n\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET /" + b"x" * 20000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
)
def test_what_could_mean_two_things_is_refused_and_ends_the_connection(client, house, raw):
    client.send(raw + SMALL)
    status, _, _ = client.answer()
    assert status == 400
    assert client.ended(), "what came behind it is no request"
    assert house.asked == []


def test_a_body_of_a_read_is_no_request(client):
    """Two bytes of body, and in them what would be a request."""
    hidden = SMALL.replace(b"small", b"other")
    raw = b"GET /boot/small HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s" % (len(hidden), hidden)
    client.send(raw + SMALL)
    assert [client.answer()[2] for _ in range(2)] == [b"in memory"] * 2


def test_old_clients(running):
    client = Client(running)
    status, headers, body = client.ask(b"GET /boot/small HTTP/1.0\r\n\r\n")
    assert (status, body, headers["connection"]) == (200, b"in memory", "close") and client.ended()
    client.close()
    client = Client(running)
    kept = b"GET /boot/imager/vmlinuz HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
    for _ in range(2):
        status, headers, body = client.ask(kept)
        assert (status, body, headers["connection"]) == (200, KERNEL, "keep-alive")
    client.close()
    client = Client(running)
    client.send(GET)
    client.sock.shutdown(socket.SHUT_WR)  # busybox nc: half closed, and it still gets all
    assert client.answer()[2] == KERNEL and client.ended()
    client.close()


def test_a_slow_reader_gets_every_byte(running, house):
    client = Client(running, buffer=4096)
    client.send(GET + GET[:-2] + b"Range: bytes=10-2999990\r\n\r\n" + SMALL)
    time.sleep(0.2)
    assert client.answer()[2] == KERNEL
    assert client.answer()[2] == KERNEL[10:2999991]
    assert client.answer()[2] == b"in memory"
    kinds = [(kind, data["file"]) for _, kind, data in house.events]
    assert kinds[:4] == [("http.start", "imager/vmlinuz"), ("http.done", "imager/vmlinuz")] * 2
    client.close()


def test_a_replaced_file_is_sent_as_it_is_now(client, tmp_path, house):
    assert client.ask(GET)[2] == KERNEL
    for text in (b"new", b"newer", b"newest"):
        (tmp_path / "fresh").write_bytes(text)
        (tmp_path / "fresh").rename(tmp_path / "vmlinuz")
        assert client.ask(GET)[2] == text
    (tmp_path / "vmlinuz").unlink()
    assert client.ask(GET)[0] == 404


def test_a_link_out_of_the_public_directory_is_not_followed(client, house, tmp_path):
    (tmp_path / "secret").write_bytes(b"secret")
    (tmp_path / "public/x").write_bytes(b"public")
    ask = b"GET /public/x HTTP/1.1\r\nHost: x\r\n\r\n"
    assert client.ask(ask)[2] == b"public"
    (tmp_path / "public/x").unlink()
    (tmp_path / "public/x").symlink_to(tmp_path / "secret")
    assert client.ask(ask)[0] == 404


def test_descriptors_come_back(running, house, tmp_path):
    def held():
        return len(os.listdir("/proc/self/fd"))

    with (tmp_path / "huge").open("wb") as file:
        file.truncate(200_000_000)
    house.files["huge"] = tmp_path / "huge"

    Client(running).close()
    wait_for(lambda: not running.server._front._connections)
    before = held()
    for number in range(20):
        client = Client(running)
        if number % 2:
            client.ask(GET)
        else:
            client.send(GET.replace(b"imager/vmlinuz", b"huge"))
            client.sock.recv(100)
        client.close()
    wait_for(lambda: held() <= before, REST + 5)
    wait_for(lambda: len(house.events) == 40)
    assert sum(data.get("aborted", False) for _, _, data in house.events) == 10


def test_a_failing_journal_ends_that_connection_alone(running, house, monkeypatch, caplog):
    client = Client(running)
    with monkeypatch.context() as patch:
        patch.setattr(house, "record_peer", lambda *args: 1 / 0)
        client.send(GET)
        assert client.ended()
    client.close()
    assert "ZeroDivisionError" in caplog.text
    client = Client(running)
    assert client.ask(SMALL)[2] == b"in memory"
    client.close()


def test_a_failing_house_is_said_by_the_complete_server(client, house, monkeypatch, caplog):
    monkeypatch.setattr(house, "boot_file", lambda name: 1 / 0)
    monkeypatch.setattr(house, "tree", lambda tree, name: 1 / 0)
    assert client.ask(SMALL)[0] == 500
    assert client.ask(b"GET /tree/a/b HTTP/1.1\r\nHost: x\r\n\r\n")[0] == 500
    assert caplog.text.count("ZeroDivisionError: ") == 2


def test_stopping_lets_a_transfer_end_and_breaks_off_who_does_not_read(house, tmp_path):
    running = Running(house, farewell=2.0)
    quick, slow, idle = Client(running), Client(running, buffer=4096), Client(running)
    with (tmp_path / "vmlinuz").open("wb") as file:
        file.truncate(50_000_000)
    quick.send(GET)
    slow.send(GET)
    wait_for(lambda: len(house.events) == 2)
    got = []
    reading = threading.Thread(target=lambda: got.append(quick.answer()))
    reading.start()
    started = time.monotonic()
    running.close()
    assert 1.9 < time.monotonic() - started < 12
    reading.join(10)
    assert len(got[0][2]) == 50_000_000 and quick.ended() and idle.ended()
    assert sorted(data["aborted"] for _, kind, data in house.events if kind == "http.done") == [False, True]
    for client in (quick, slow, idle):
        client.close()


def test_without_descriptors_it_waits_and_goes_on(house, monkeypatch, caplog):
    running = Running(house)
    accept, failing = socket.socket.accept, [2]

    def none_left(self):
        if failing[0]:
            failing[0] -= 1
            raise OSError(errno.EMFILE, "Too many open files")
        return accept(self)

    monkeypatch.setattr("pxe.http.front._PAUSE", 0.1)
    monkeypatch.setattr(socket.socket, "accept", none_left)
    client = Client(running)
    assert client.ask(SMALL)[2] == b"in memory"
    assert caplog.text.count("no new connection") == 2
    client.close()
    running.close()


def test_open_files_are_shared_by_version_and_rest_for_a_moment(tmp_path):
    from pxe.catalogue import entry_of

    path = tmp_path / "x"
    path.write_bytes(b"old")
    files = OpenFiles()
    first, again = files.take(entry_of(path)), files.take(entry_of(path))
    assert first is again
    (tmp_path / "y").write_bytes(b"newer")
    (tmp_path / "y").rename(path)
    newer = files.take(entry_of(path))
    assert os.pread(first.fd, 9, 0) == b"old" and os.pread(newer.fd, 9, 0) == b"newer"
    for file in (first, again, newer):
        files.give(file, 10.0)
    files.tidy(10.0 + REST / 2)
    assert files.take(entry_of(path)) is newer
    files.tidy(10.0 + REST)
    with pytest.raises(OSError, match="Bad file"):
        os.fstat(first.fd)
    assert os.pread(newer.fd, 9, 0) == b"newer"
    files.close()
    with pytest.raises(OSError, match="Bad file"):
        os.fstat(newer.fd)
