"""What installers say over syslog: whose it is, what it means, and when silence has lasted too long."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from install_house import House

from bootsrv.appliance.appliance import Appliance
from bootsrv.config import Config
from bootsrv.installs.logkeeper import InstallLog
from bootsrv.installs.overdue import give_up
from bootsrv.installs.tales import line, report
from bootsrv.model import NodeState
from bootsrv.peers import Peers
from pxe.syslog.wire import parse

LINES = [
    b"<14>Nov 28 06:57:46 main-menu[323]: INFO: Menu item 'partman-base' selected",
    b"<14>Nov 28 06:57:47 partman: mke2fs 1.47.2",
    b"<14>Nov 28 06:58:46 main-menu[323]: INFO: Menu item 'bootstrap-base' selected",
]
BROKEN = b"<12>Nov 28 06:59:00 main-menu: WARNING **: Configuring 'bootstrap-base' failed with error code 1"


@pytest.fixture
def made(house: Appliance, config: Config, clock: Any, tmp_path: Path) -> House:
    made = House(house, config, clock, tmp_path)
    house.installs.install(house.nodes.select("n1"))
    return made


@pytest.fixture
def kept(made: House) -> InstallLog:
    return InstallLog(made.house.registry, Peers(made.house.registry, made.arp, made.clock), made.clock)


def say(kept: InstallLog, *lines: bytes, peer: str = "10.77.0.11") -> None:
    kept.work()
    for data in lines:
        if kept.welcome(peer):
            kept.keep(peer, parse(data))
    kept.work()


def test_lines_are_the_nodes_log_and_its_steps(made: House, kept: InstallLog) -> None:
    made.ask(made.token(made.script()), "preseed.cfg")
    say(kept, *LINES)
    log = "".join(text for _, text in made.house.watch.log(made.node()))
    assert log == (
        "main-menu[323]: INFO: Menu item 'partman-base' selected\npartman: mke2fs 1.47.2\n"
        "main-menu[323]: INFO: Menu item 'bootstrap-base' selected\n"
    )
    assert [one.text for one in made.events(kind="install.step")] == ["partitions", "base system"]
    boot = made.house.watch.boots(made.node())[0]
    assert [stage.name for stage in boot.stages][-2:] == ["partitions", "base system"]


def test_only_machines_that_are_installed_are_heard(made: House, kept: InstallLog) -> None:
    for peer in ("10.77.0.12", "10.77.0.99"):
        say(kept, *LINES, peer=peer)
    assert made.house.watch.log(made.node()) == made.house.watch.log(made.node("n2")) == []
    kept.work()
    assert kept.welcome("10.77.0.11") and not kept.welcome("10.77.0.12")
    token = made.token(made.script())
    made.ask(token, "preseed.cfg")
    made.ask(token, "tell/done", method="POST")
    kept.work()
    assert not kept.welcome("10.77.0.11"), "it has said all that was wanted"


def test_an_address_that_only_the_wire_knows(made: House, kept: InstallLog) -> None:
    made.arp.write_text("IP address ...\n10.77.0.77 0x1 0x2 52:54:00:00:00:01 * br0\n")
    say(kept, *LINES, peer="10.77.0.77")
    assert made.house.watch.log(made.node())


def test_a_step_that_failed_fails_the_installation(made: House, kept: InstallLog) -> None:
    made.ask(made.token(made.script()), "preseed.cfg")
    say(kept, *LINES, BROKEN)
    node = made.node()
    assert node.state is NodeState.FAILED and node.half_written
    assert node.error == "base system: bootstrap-base failed with error code 1; its log says why"
    assert made.house.watch.boots(node)[0].outcome == "failed"
    assert "purpose=hold" in made.script()


def test_silence_is_a_failure_after_a_while(made: House, kept: InstallLog) -> None:
    registry = made.house.registry
    assert give_up(registry, 1800, made.clock.now + 9999) == [], "it has not begun"
    made.ask(made.token(made.script()), "preseed.cfg")
    made.clock.now += 1000
    say(kept, LINES[1])
    made.clock.now += 1000
    assert give_up(registry, 1800, made.clock.now) == [], "it was heard of 1,000 s ago"
    made.clock.now += 1000
    assert [node.name for node in give_up(registry, 1800, made.clock.now)] == ["n1"]
    assert made.node().state is NodeState.FAILED and "30 minutes" in str(made.node().error)
    assert give_up(registry, 1800, made.clock.now + 9999) == []


@pytest.mark.parametrize(("program", "text", "kind", "said"), [
    ("main-menu", "INFO: Menu item 'pkgsel' selected", "install.step", "packages"),
    ("main-menu", "INFO: Menu item 'ai-choosers' selected", "install.step", "ai-choosers"),
    ("main-menu", "WARNING **: Configuring 'netcfg' failed with error code 10", None, ""),
    ("main-menu", "WARNING **: Menu item 'netcfg' failed.", None, ""),
    ("partman", "INFO: Menu item 'pkgsel' selected", None, ""),
    ("base-installer", "error: exiting on error base-installer/no_codename", "install.failed", "no_codename"),
    ("base-installer", "warning: it goes on", None, ""),
    ("anaconda", "Task started: Install the payload (1/3)", "install.step", "packages"),
    ("anaconda", "Thread Failed: AnaInstallThread", "install.failed", "Thread Failed: AnaInstallThread"),
])  # fmt: skip
def test_what_a_line_means(program: str, text: str, kind: str | None, said: str) -> None:
    tale = line(program, text)
    assert (tale.kind if tale else None) == kind
    assert said in (tale.text if tale else "")


def test_the_webhook_of_ubuntu() -> None:
    start = (
        b'{"name": "subiquity/Install/install", "description": "installing system", "event_type": "start"}'
    )
    assert [(one.kind, one.text) for one in report(start)] == [
        ("install.step", "subiquity/Install/install: installing system")
    ]
    end = b'{"name": "subiquity/Install", "event_type": "finish", "result": "FAIL", "description": "x"}'
    assert report(end)[0].kind == "install.failed"
    deep = b'{"name": "a/b/c/d/e", "event_type": "start", "description": "x"}'
    assert report(deep)[0].kind == "" and report(deep)[0].log


def test_nobody_elses_calls_make_steps(made: House) -> None:
    token = made.token(made.script())
    assert made.ask(token, "tell/report", method="POST", body=b"no json").status == 400
    assert made.ask(token, "tell/report", method="POST", body=b"[]").status == 400
    assert made.ask(token, "tell/log", method="POST", body=b"x" * 300_000).status == 413
    assert made.ask(token, "tell/everything", method="POST").status == 404
