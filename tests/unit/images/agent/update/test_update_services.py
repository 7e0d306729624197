"""What a push does beside the files: where the machine calls home follows the server, and the agent service
its version."""

from __future__ import annotations

from pathlib import Path

import pytest

from images.agent import home
from images.agent.rootfs import Root
from images.agent.service.running import follow
from images.agent.update.cli import renew_home
from images.agent.update.task import Task

PLAIN = Task("http://10.0.0.1:8080", "push", b"\1" * 32, "debian@2", "0" * 64)
SECURE = PLAIN._replace(url="https://10.0.0.1:8443", certificate="PEM", pin="sha256//x=")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "usr/bin").mkdir(parents=True)
    (tmp_path / "usr/bin/python3").touch()
    home.renew(Root(tmp_path), home.Server("http://10.0.0.9:8080/node/v1/home", "own"), "debian@1")
    return tmp_path


def test_to_https_to_another_certificate_and_back(root: Path) -> None:
    inside = Root(root)
    renew_home(root, SECURE)
    assert home.read(inside) == {
        "url": "https://10.0.0.1:8443/node/v1/home", "token": "own", "image": "debian@1", "pin": "sha256//x=",
    }  # fmt: skip
    assert inside.read_text(home.CERTIFICATE) == "PEM" and inside.read_text(home.KEY) == "01" * 32 + "\n"
    renew_home(root, SECURE._replace(certificate="OTHER", pin="sha256//y="))
    assert inside.read_text(home.CERTIFICATE) == "OTHER" and home.read(inside)["pin"] == "sha256//y="
    renew_home(root, PLAIN)
    assert home.read(inside) == {
        "url": "http://10.0.0.1:8080/node/v1/home", "token": "own", "image": "debian@1",
    }  # fmt: skip


def test_nothing_is_written_when_all_is_as_it_was(root: Path) -> None:
    renew_home(root, SECURE)
    before = (root / "etc/bootsrv/home.conf").stat()
    renew_home(root, SECURE)
    after = (root / "etc/bootsrv/home.conf").stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


def test_a_system_that_was_never_imaged_is_left_alone(tmp_path: Path) -> None:
    renew_home(tmp_path, SECURE)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("there", [True, False])
@pytest.mark.parametrize("runs", [True, False])
def test_the_agent_service_comes_and_goes_with_the_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: bool, runs: bool
) -> None:
    systemctl, unit = tmp_path / "systemctl", tmp_path / "bootsrv-agent.service"
    systemctl.write_text(
        f'#!/bin/sh\necho "$@" >>{tmp_path}/log\n[ "$1" != is-active ] || exit {0 if runs else 3}\n'
    )
    systemctl.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    if there:
        unit.touch()
    follow(unit)
    asked = (tmp_path / "log").read_text().splitlines()
    assert asked[0] == f"is-active --quiet {unit.name}"
    verb = "start" if there else "stop"
    assert asked[1:] == ([] if there == runs else ["daemon-reload", f"--no-block {verb} {unit.name}"])
