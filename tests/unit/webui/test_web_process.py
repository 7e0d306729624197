"""The web process as the supervisor starts it: ready when it answers, quick to end, nothing left behind."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from webhouse import House


class UnixHTTP(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("web", timeout=10)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(10)
        self.sock.connect(str(self._path))


# With more patience than any machine needs, so that a stream which does not end by itself shows.
MAIN = """
import sys
from webui import __main__, server
server.GRACE = 60
sys.exit(__main__.main())
"""


def start(house: House) -> tuple[subprocess.Popen[bytes], bytes]:
    reader, writer = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-c", MAIN, "--config", str(house.config_file)],
        pass_fds=[writer],
        env={**os.environ, "BOOTSRV_READY_FD": str(writer)},
        stderr=subprocess.PIPE,
    )
    os.close(writer)
    said = os.read(reader, 64)
    os.close(reader)
    return process, said


@pytest.fixture
def web(house: House) -> Iterator[subprocess.Popen[bytes]]:
    process, said = start(house)
    assert said == b"ready\n"
    yield process
    process.kill()
    process.wait()


def ask(house: House, path: str, headers: dict[str, str]) -> tuple[UnixHTTP, http.client.HTTPResponse]:
    connection = UnixHTTP(house.appliance.config.run_dir / "web.sock")
    connection.request("GET", path, headers=headers)
    return connection, connection.getresponse()


def test_it_answers_when_it_says_ready_and_ends_with_open_streams(
    house: House, web: subprocess.Popen[bytes]
) -> None:
    bearer = {"Authorization": f"Bearer {house.appliance.users.issue_token('admin')}"}
    _, answer = ask(house, "/login", {})
    assert answer.status == 200
    connection, stream = ask(house, "/events/stream", bearer)
    assert stream.readline() == b"retry: 2000\n"
    node = house.seen("52:54:00:00:00:01")
    house.tell(node, "dhcp.discover", "from another process")
    lines = [stream.readline() for _ in range(3)]
    assert b"from another process" in lines[2]
    web.send_signal(signal.SIGTERM)
    assert web.wait(40) == 0
    connection.close()
    assert web.stderr is not None
    assert web.stderr.read() == b""


def test_no_worker_outlives_its_parent(house: House, web: subprocess.Popen[bytes]) -> None:
    children = Path(f"/proc/{web.pid}/task/{web.pid}/children").read_text().split()
    assert len(children) == 1
    web.kill()
    web.wait()
    end = time.monotonic() + 10
    while Path(f"/proc/{children[0]}").exists() and time.monotonic() < end:
        time.sleep(0.1)
    assert not Path(f"/proc/{children[0]}").exists()


def test_a_bad_configuration_is_one_line_and_exit_2(house: House) -> None:
    house.config_file.write_text("nonsense = 1\n")
    process, said = start(house)
    assert said == b""
    assert process.wait(20) == 2
    assert process.stderr is not None
    text = process.stderr.read().decode()
    assert text.count("\n") == 1
    assert "key nonsense" in text
    process.stderr.close()


def test_a_registry_that_cannot_be_used_ends_the_start(house: House) -> None:
    house.appliance.config.registry_file.write_bytes(b"not a database, not at all" * 100)
    for extra in ("-wal", "-shm"):
        Path(f"{house.appliance.config.registry_file}{extra}").unlink(missing_ok=True)
    process, said = start(house)
    assert said == b""
    assert process.wait(20) != 0
    assert process.stderr is not None
    assert b"not a database" in process.stderr.read()
