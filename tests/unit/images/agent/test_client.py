"""The client against a server that is away, cuts answers short, restarts, or says no."""

import http.server
import socket
import threading
import time

import pytest

from images.agent import client as module
from images.agent.client import Client, Refused
from images.agent.reporter import PROGRESS, Reporter
from images.errors import ImageError


class Server(http.server.ThreadingHTTPServer):
    """Answers from `script` (status, body, headers), the last one again and again."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, script, port=0):
        self.script, self.calls = list(script), []
        super().__init__(("127.0.0.1", port), Handler)
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        server = self.server
        server.calls.append((self.command, self.path, dict(self.headers), body))
        status, data, length = server.script.pop(0) if len(server.script) > 1 else server.script[0]
        self.send_response(status)
        self.send_header("Content-Length", str(len(data) if length is None else length))
        self.end_headers()
        self.wfile.write(data)
        if length is not None:
            self.close_connection = True

    do_GET = do_POST = answer

    def log_message(self, *args):
        pass


@pytest.fixture(autouse=True)
def fast(monkeypatch):
    monkeypatch.setattr(module, "PAUSES", (0.01, 0.02, 0.05))


def made(server, **more):
    return Client(f"http://127.0.0.1:{server.server_port}", "T", **more)


def test_token_and_json():
    server = Server([(200, b'{"kind":"wait"}', None)])
    assert made(server).get_json("/node/v1/task") == {"kind": "wait"}
    assert server.calls[0][2]["Authorization"] == "Bearer T"


def test_nothing_yet_is_none():
    assert made(Server([(204, b"", None)])).get_json("/x") is None


@pytest.mark.parametrize("said", [b"<html>log in</html>", b"[]", b"[" * 5000])
def test_what_is_no_object_is_an_error_and_no_answer(said):
    with pytest.raises(ImageError, match="answer to /x is no object"):
        made(Server([(200, said, None)])).get_json("/x")


def test_passing_trouble_is_tried_again():
    server = Server([(503, b"", None), (500, b"", None), (200, b"cut", 100), (200, b"whole", None)])
    assert made(server).get("/x") == b"whole"
    assert len(server.calls) == 4


def test_no_is_said_at_once():
    server = Server([(404, b"", None)])
    with pytest.raises(Refused, match=r"GET /x .HTTP 404") as caught:
        made(server).get("/x?secret")
    assert caught.value.status == 404 and len(server.calls) == 1


def test_a_range_must_be_that_range():
    server = Server([(200, b"everything", None), (206, b"short", None), (206, b"ten bytes!", None)])
    assert made(server).get_range("/store/packs/a", 5, 10) == b"ten bytes!"
    assert server.calls[0][2]["Range"] == "bytes=5-14" and len(server.calls) == 3


def test_packs_are_asked_for_by_one_thread_at_a_time():
    """The server takes its time over each; http.client would mix two up, or fall over."""
    using, both = threading.Lock(), []

    class Slow(Client):
        def _once(self, *arguments):
            if not using.acquire(blocking=False):
                both.append(arguments)
                return super()._once(*arguments)
            try:
                time.sleep(0.02)
                return super()._once(*arguments)
            finally:
                using.release()

        def copy(self):
            return Slow(self.base, "T")

    get, got = module.packs_by(Slow(made(Server([(206, b"ten bytes!", None)])).base, "T")), []
    threads = [threading.Thread(target=lambda: got.append(get("a", 5, 10))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == [b"ten bytes!"] * 8 and not both


def test_waits_for_a_server_that_is_away():
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        port = holder.getsockname()[1]
    heard = []
    client = Client(f"http://127.0.0.1:{port}", "T", heard.append)
    threading.Timer(0.4, lambda: Server([(200, b"back", None)], port)).start()
    assert client.get("/x") == b"back"
    assert any("does not answer" in text for text in heard)


def test_gives_up_only_when_told_to():
    client = Client("http://127.0.0.1:1", "T", give_up=0.2)
    with pytest.raises(ConnectionError, match="GET /x"):
        client.get("/x")


def test_stops_when_stopped():
    client = Client("http://127.0.0.1:1", "T")
    threading.Timer(0.2, client.stopping.set).start()
    with pytest.raises(ConnectionError):
        client.copy().get("/x")


@pytest.mark.parametrize("url", ["", "ftp://a", "10.0.0.1:80"])
def test_bad_address(url):
    with pytest.raises(ImageError, match=r"bootsrv\.url="):
        Client(url, "T")


def test_reporter_keeps_order_and_merges_progress():
    server = Server([(500, b"", None), (200, b"{}", None)])
    reporter = Reporter(made(server))
    reporter.event("imager.up", "1")
    time.sleep(0.05)
    for done in range(50):
        reporter.event(PROGRESS, "", done=done)
    reporter.event("deploy.files", "2")
    reporter.log("line")
    assert reporter.flush(5)
    sent = b"".join(call[3] for call in server.calls if call[1].endswith("events"))
    assert sent.rindex(b"imager.up") < sent.rindex(b'"done":49') < sent.rindex(b"deploy.files")
    assert sent.count(b'"done"') < 10
    assert any(call[1].endswith("log") and call[3] == b"line\n" for call in server.calls)
    reporter.close()


def test_reporter_raises_a_refusal_at_flush_and_goes_on():
    server = Server([(401, b"", None), (200, b"{}", None)])
    reporter = Reporter(made(server))
    reporter.event("deploy.started", "")
    with pytest.raises(Refused):
        reporter.flush(5)
    reporter.event("deploy.failed", "")
    assert reporter.flush(5)
    reporter.close()
