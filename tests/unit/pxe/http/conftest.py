"""A house with files, and the server that serves them."""

import threading

import pytest
from http_house import KERNEL, House, Running
from http_web import UnixServer, Web


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
