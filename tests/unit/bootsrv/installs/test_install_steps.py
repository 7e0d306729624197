"""Our own steps in the answers: for every target they are what its reader understands, and they say what they
should where nothing but bash is there."""

from __future__ import annotations

import http.server
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from bootsrv.answers import files
from bootsrv.installs.steps import Callbacks, _failed, _home, _post, with_callbacks
from pxe.answers.kickstart.parser import KickstartParser
from pxe.answers.profile import profile_from

TARGETS = [
    "rhl7.2", "rhel3", "rhel4", "rhel5", "rhel6", "rhel7", "rhel8", "rhel9", "rhel10", "fedora3", "fedora8",
    "fedora24", "fedora25", "fedora42", "debian10", "debian11", "debian12", "debian13", "ubuntu22.04",
    "ubuntu24.04",
]  # fmt: skip
CALLS = Callbacks("http://10.0.0.1:8080/install/TOKEN/tell/", "http://10.0.0.1:8080/node/v1/home", "HOME")
VALUES = {
    "source": {"url": "http://10.0.0.1/tree"},
    "users": [{"name": "ada", "keys": ["ssh-ed25519 AAAA ada"], "password": "$6$a$b"}],
    "scripts": [{"when": "post", "text": "echo one\n"}, {"when": "first-boot", "text": "echo two\n"}],
}


@pytest.fixture(scope="module")
def parser() -> Iterator[KickstartParser]:
    with KickstartParser() as parser:
        yield parser


@pytest.mark.parametrize("target", TARGETS)
def test_every_target_understands_them(target: str, parser: KickstartParser) -> None:
    goal = files.target(target)
    values = {**VALUES, **({} if target != "rhl7.2" else {"users": []})}
    made = files.render(with_callbacks(profile_from(values), goal, CALLS), goal, {}, parser)
    assert made.good, made.findings
    if goal.dialect == "kickstart":
        assert made.text.count("/install/TOKEN/tell/started") == 1
        assert made.text.rindex("/install/TOKEN/tell/done") > made.text.rindex("echo two"), "the last word"
        modern = made.text.count("%onerror")
        assert modern == (target in ("rhel8", "rhel9", "rhel10", "fedora25", "fedora42"))


@pytest.fixture
def server() -> Iterator[tuple[str, list[tuple[str, str, str]]]]:
    """Remembers path, token and body of what it is sent; the first call of each path fails."""
    said: list[tuple[str, str, str]] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
            again = any(path == self.path for path, _, _ in said)
            said.append((self.path, self.headers.get("Authorization", ""), body))
            self.send_response(200 if again else 503)
            self.end_headers()

        do_GET = do_POST

        def log_message(self, format: str, *args: object) -> None:
            pass

    made = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=made.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{made.server_address[1]}", said
    made.shutdown()


def bash(text: str) -> int:
    clean = {"PATH": "/usr/bin:/bin"}
    return subprocess.run(
        ["bash", "-c", text.replace("sleep 3", "sleep 0.1")], timeout=60, env=clean
    ).returncode


def test_bash_alone_tells_and_tries_again(server: tuple[str, list[tuple[str, str, str]]]) -> None:
    url, said = server
    assert bash(_post(f"{url}/tell/done", 5)) == 0
    assert said == [("/tell/done", "", "")] * 2
    assert bash(_post(f"{url}/home", 5, "TOKEN", "hostname=ü&x=$(echo 1)", must=True)) == 0
    assert said[-1] == ("/home", "Bearer TOKEN", "hostname=ü&x=1")


def test_nobody_there_fails_nothing_but_the_call_home() -> None:
    assert bash(_post("http://127.0.0.1:9/tell/done", 2)) == 0
    assert bash(_post("http://127.0.0.1:9/home", 2, "T", "x", must=True)) == 1


def test_logs_arrive_whole_before_the_failure(server: tuple[str, list[tuple[str, str, str]]],
                                              tmp_path: object) -> None:  # fmt: skip
    url, said = server
    log = f"{tmp_path}/installer.log"
    with open(log, "w") as file:
        file.write('a "quoted" $HOME `line` %s\nand ünother\n')
    assert bash(_failed(Callbacks(f"{url}/tell/", "", ""), log)) == 0
    assert said[1][2] == 'a "quoted" $HOME `line` %s\nand ünother'
    assert said[-1][0] == "/tell/failed"


def test_debians_installer_tells_why_before_it_waits_for_a_key(
    server: tuple[str, list[tuple[str, str, str]]], tmp_path: Path
) -> None:
    """The late command as the installer runs it, when a step fails in the installed system."""
    url, said = server
    log = tmp_path / "syslog"
    log.write_text("".join(f"line {number}\n" for number in range(99)) + 'it said "no" & $HOME\n')
    values = {"scripts": [{"text": "false", "stop_on_error": True}]}
    goal = files.target("debian13")
    profile = with_callbacks(profile_from(values), goal, Callbacks(f"{url}/tell/", f"{url}/home", "HOME"))
    text = files.render(profile, goal, {}).text
    command = next(line.split(" ", 3)[3] for line in text.splitlines() if "late_command" in line)
    (tmp_path / "in-target").write_text('#!/bin/sh\ncase $2 in /root/.answers-late) exit 1; esac\n')
    (tmp_path / "chroot").write_text(
        f"#!/bin/sh\nshift; \"$@\" | sed 's,/var/log/syslog,{log},; s/sleep 3/sleep 0.1/'\n"
    )
    for name in ("in-target", "chroot"):
        (tmp_path / name).chmod(0o755)
    ran = subprocess.run(
        ["dash", "-c", command.replace("/run/", f"{tmp_path}/")], timeout=60,
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"}, capture_output=True, text=True,
    )  # fmt: skip
    assert ran.returncode == 1, ran.stderr
    assert {path.partition("?")[0] for path, _, _ in said} == {"/tell/log", "/tell/failed"}
    assert said[0][2].splitlines()[0] == "line 40" and said[0][2].endswith('it said "no" & $HOME')
    assert parse_qs(urlsplit(said[-1][0]).query)["error"] == [
        "a script that must not fail has failed; the log says what it said"
    ]


def test_the_call_home_comes_last_and_goes_away() -> None:
    text = _home(CALLS)
    assert "After=network-online.target bootsrv-first-boot.service" in text
    assert "|| exit\n" in text, "it stays until it was heard"
    assert subprocess.run(["sh", "-n"], input=text, text=True, timeout=20).returncode == 0
