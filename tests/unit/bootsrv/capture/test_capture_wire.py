"""The one line, typed on a machine of a real network: curl, python3, and the whole service behind it."""

from __future__ import annotations

import json
import os
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nastytree
import pytest

from bootsrv.lab.namespace import Namespace
from images.agent import bundle
from images.agent.update.task import VARIABLE, pack

pytestmark = [
    pytest.mark.netns,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root to make network namespaces"),
]
PYTHON = "/usr/bin/python3"  # the machine's own, without anything of ours


class Service:
    """`bootsrv serve` in a namespace."""

    def __init__(self, space: Namespace, home: Path, more: str = "") -> None:
        self.space, self.home = space, home
        self.config = home / "bootsrv.toml"
        self.config.write_text(
            f'data_dir = "{home}/data"\ninterfaces = ["br0"]\n'
            '[dhcp]\nenabled = false\n[tftp]\nenabled = false\n[dns]\nenabled = false\n'
            f"[http]\n{more}\n"
        )
        self.log = (home / "serve.log").open("w")
        words = [sys.executable, "-m", "bootsrv.cli.main", "serve", "--config", str(self.config)]
        self.process = space.spawn(words, self.log.fileno())
        ends = time.monotonic() + 60
        while "\nready\n" not in self.text():
            assert self.process.poll() is None and time.monotonic() < ends, self.text()
            time.sleep(0.1)

    def text(self) -> str:
        return (self.home / "serve.log").read_text()

    def bootsrv(self, *words: str) -> Any:
        argv = [sys.executable, "-m", "bootsrv.cli.main", "--config", str(self.config), *words]
        done = self.space.run(argv)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout) if "--json" in words else done.stdout


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    tmp_path.chmod(0o755)
    with Namespace() as space:
        made = Service(space, tmp_path)
        yield made
        made.log.close()


def test_the_line_that_is_printed_does_it(service: Service, tmp_path: Path) -> None:
    machine = tmp_path / "machine"
    machine.mkdir()
    nastytree.build(machine)
    words = ["image", "capture", "--token", "--name", "golden", "--comment", "from a test"]
    line = service.bootsrv(*words).strip()
    assert line.startswith("curl -fsS http://10.77.0.1:8080/agent | sudo python3 - capture --name golden")
    typed = line.replace("sudo python3", PYTHON) + f" --root {machine} --exclude '/dev/block'"
    done = service.space.run(["sh", "-c", typed])
    assert (done.returncode, done.stdout) == (0, "golden@1\n"), done.stderr + service.text()
    (version,) = service.bootsrv("image", "list", "--json")
    assert (version["ref"], version["comment"]) == ("golden@1", "from a test")
    kinds = [event["kind"] for event in service.bootsrv("events", "--json")]
    assert kinds[-2:] == ["capture.started", "capture.done"]
    again = service.space.run(["sh", "-c", typed])
    assert again.returncode == 1 and "this token was used already: it made golden@1" in again.stderr
    assert service.bootsrv("image", "verify", "--json") == []
    started_by_the_server(service, machine)
    service.process.terminate()
    assert service.process.wait(30) == 0


def test_the_line_over_https(tmp_path: Path) -> None:
    """Nothing is told to a server that shows another key than the line says, and nothing runs."""
    tmp_path.chmod(0o755)
    machine = tmp_path / "machine"
    (machine / "etc").mkdir(parents=True)
    (machine / "etc/noise").write_bytes(os.urandom(3_000_000))
    with Namespace() as space:
        service = Service(space, tmp_path, "tls_port = 8443")
        line = service.bootsrv("image", "capture", "--token", "--name", "golden").strip()
        found = re.match(
            r"curl -fsS -k --pinnedpubkey (sha256//\S{44}) https://10.77.0.1:8443/agent \| sudo ", line
        )
        assert found, line
        typed = line.replace("sudo python3", PYTHON) + f" --root {machine}"
        other = typed.replace(found[1], "sha256//" + "A" * 43 + "=")
        done = space.run(["sh", "-c", other])
        assert "public key does not match" in done.stderr and not done.stdout
        done = space.run(["sh", "-c", typed])
        assert (done.returncode, done.stdout) == (0, "golden@1\n"), done.stderr + service.text()
        script = space.run(["sh", "-c", typed.partition("|")[0]]).stdout
        assert 'SERVER = "https://10.77.0.1:8443"' in script and "BEGIN CERTIFICATE" in script
        # the same script, but of a server that has got another key since
        for name in ("tls.crt", "tls.key"):
            (tmp_path / "data" / name).unlink()
        service.process.terminate()
        service.process.wait(30)
        again = Service(space, tmp_path, "tls_port = 8443")
        (tmp_path / "agent.py").write_text(script)
        words = f"{PYTHON} - capture --token=T --root {machine} <{tmp_path}/agent.py"
        done = space.run(["sh", "-c", words])
        assert done.returncode == 1 and "CERTIFICATE_VERIFY_FAILED" in done.stderr, again.text()
        for one in (service, again):
            one.log.close()


def started_by_the_server(service: Service, machine: Path) -> None:
    """As over SSH: the token is in the script, what is told is JSON."""
    token = service.bootsrv("image", "capture", "--token", "--name", "golden", "--json")["token"]
    task = f'import os\nos.environ["{VARIABLE}"] = "{pack({"token": token})}"\n'.encode()
    script = service.home / "agent.py"
    script.write_bytes(task + bundle.build("http://10.77.0.1:8080"))
    words = f"{PYTHON} - capture --by-server --root {machine} <{script}"
    done = service.space.run(["sh", "-c", words])
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert rows[-1] == {"ref": "golden@2"} and "say" in rows[0]


def test_a_server_killed_in_the_middle_costs_no_more_than_time(service: Service, tmp_path: Path) -> None:
    machine = tmp_path / "machine"
    (machine / "etc").mkdir(parents=True)
    for number in range(300):
        (machine / f"file{number:03}").write_bytes(os.urandom(200_000))
    token = service.bootsrv("image", "capture", "--token", "--name", "golden", "--json")["token"]
    typed = f"curl -fsS http://10.77.0.1:8080/agent | {PYTHON} - capture --token={token} --root {machine}"
    with (tmp_path / "said").open("wb") as said:
        running = service.space.spawn(["sh", "-c", typed], said.fileno())
        ends = time.monotonic() + 200
        while not list((tmp_path / "data/store/temp").glob("pack*")):
            assert running.poll() is None and time.monotonic() < ends, (tmp_path / "said").read_text()
            time.sleep(0.01)
        found = service.space.run(["pgrep", "-f", "^[^ ]*python[^ ]* -m bootsrv.intake"]).stdout.split()
        assert found, service.text()
        service.space.run(["kill", "-KILL", *found])
        assert running.wait(110) == 0, (tmp_path / "said").read_text() + service.text()
    (version,) = service.bootsrv("image", "list", "--json")
    assert version["files"] == 302
    assert service.bootsrv("image", "verify", "--json") == []
    while "intake is ready again" not in service.text():
        assert time.monotonic() < ends, service.text()
        time.sleep(0.1)
