"""`bootsrv serve` as real processes: ready, ending, crashing, and leaving nothing behind."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def children(pid: int) -> dict[int, str]:
    """Process id -> command line of a process's children."""
    found = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            found[int(child)] = Path(f"/proc/{child}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    return found


def until(what: Callable[[], bool], seconds: float = 20.0) -> None:
    ends = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < ends, "it did not come about"
        time.sleep(0.05)


class Service:
    """One running `bootsrv serve` on this machine only."""

    def __init__(self, home: Path) -> None:
        self.port = free_port()
        self.data = home / "data"
        self.config = home / "bootsrv.toml"
        self.config.write_text(f'data_dir = "{self.data}"\n[http]\nport = {self.port}\n')
        self.said: list[str] = []

    def start(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "bootsrv.cli.main", "serve", "--config", str(self.config)],
            stderr=subprocess.PIPE,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        until(lambda: "ready" in self.said or self.process.poll() is not None, 40.0)

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.said.append(line.rstrip("\n"))

    def stop(self) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(20)
        self._reader.join(5)
        return code

    def get(self, path: str) -> tuple[int, bytes]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    def child(self, module: str) -> int:
        return next(pid for pid, command in children(self.process.pid).items() if module in command)


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    made = Service(tmp_path)
    yield made
    if made.process.poll() is None:
        made.process.kill()
    made.process.wait()


def family(pid: int) -> list[int]:
    return [member for child in children(pid) for member in (child, *family(child))]


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


class TestLife:
    def test_from_first_start_to_second_end(self, service: Service) -> None:
        service.start()
        assert service.said[-1] == "ready" or "ready" in service.said, service.said
        assert service.get("/boot/52-54-00-00-00-01/script.ipxe")[0] == 403
        assert service.get("/node/v1/task")[0] == 401
        assert service.get("/login")[0] == 200
        service.data.joinpath("public/deep").mkdir()
        service.data.joinpath("public/deep/hello.txt").write_text("hello")
        until(lambda: service.get("/public/deep/hello.txt") == (200, b"hello"))
        assert any(
            re.search(r"first login: user admin, password [0-9a-f]{4}(-[0-9a-f]{4}){3} ", line)
            for line in service.said
        )
        assert any("nobody is answered" in line for line in service.said)
        members = family(service.process.pid)
        assert len(members) >= 4
        assert service.stop() == 0
        assert not any(map(alive, members))
        service.said.clear()
        service.start()
        assert "ready" in service.said
        assert not any("first login" in line for line in service.said)
        assert service.stop() == 0

    def test_kill_minus_9_leaves_no_child(self, service: Service) -> None:
        service.start()
        members = family(service.process.pid)
        assert len(members) > 3, "the supervisor and its three processes"
        service.process.kill()
        until(lambda: not any(map(alive, members)), 10.0)

    def test_a_crash_takes_nothing_else_down(self, service: Service) -> None:
        service.start()
        packets, web, files = (service.child(name) for name in ("bootsrv.packets", "webui", "bootsrv.files"))
        os.kill(files, signal.SIGKILL)
        until(lambda: any("files is ready again" in line for line in service.said))
        assert service.get("/login")[0] == 200
        assert (service.child("bootsrv.packets"), service.child("webui")) == (packets, web)
        os.kill(web, signal.SIGKILL)
        status, text = service.get("/login")
        assert status in (200, 502), text
        until(lambda: service.get("/login")[0] == 200)
        assert service.stop() == 0


    @pytest.mark.skipif(os.geteuid() != 0, reason="only root may go before others")
    def test_packets_go_before_all_else(self, service: Service) -> None:
        service.start()
        ours = os.getpriority(os.PRIO_PROCESS, 0)
        nice = {name: os.getpriority(os.PRIO_PROCESS, service.child(name)) for name in ("packets", "files")}
        assert nice == {"packets": max(ours - 5, -20), "files": ours}


class TestCannotStart:
    def test_a_taken_port_names_who_has_it(self, service: Service) -> None:
        with socket.create_server(("127.0.0.1", service.port)):
            service.start()
            assert service.process.wait(20) == 1
            service.stop()
        text = "\n".join(service.said)
        assert f"TCP port {service.port} is taken by" in text
        assert f"(process {os.getpid()})" in text
        assert "ready" not in service.said

    def test_a_data_directory_that_is_a_file(self, service: Service) -> None:
        service.data.write_text("")
        service.start()
        assert service.process.wait(20) == 1
        service.stop()
        assert any(str(service.data) in line for line in service.said)
        assert not any("Traceback" in line for line in service.said)

    def test_an_interface_that_does_not_exist(self, service: Service) -> None:
        service.config.write_text(f'data_dir = "{service.data}"\ninterfaces = ["nosuch0"]\n')
        service.start()
        assert service.process.wait(20) == 1
        service.stop()
        (line,) = (line for line in service.said if "nosuch0" in line)
        assert line.startswith("bootsrv: not started: there is no interface nosuch0: this machine has ")

    def test_without_http_no_page_is_promised(self, service: Service) -> None:
        service.config.write_text(f'data_dir = "{service.data}"\n[http]\nenabled = false\n')
        service.start()
        assert "ready" in service.said
        assert service.stop() == 0
        assert not any("page:" in line for line in service.said)
