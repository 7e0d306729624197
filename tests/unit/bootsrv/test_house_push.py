"""Pushes: who can be pushed to, what a token opens, how waves stop, how a node is recognised."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from imagestore import noise, publish

from bootsrv import pushstore, sshkey, waves
from bootsrv.appliance.appliance import Appliance
from bootsrv.appliance.nodes import Wanted as NodeWanted
from bootsrv.appliance.push import Step, Wanted
from bootsrv.cli.context import Context
from bootsrv.cli.main import cli
from bootsrv.config import Config
from bootsrv.errors import BootsrvError, Conflict, Invalid
from bootsrv.model import Node, NodeState
from bootsrv.nodeapi import NodeApi
from bootsrv.payload import catalogue
from bootsrv.peers import Peers
from bootsrv.registry.registry import Registry
from bootsrv.registry.upkeep import Drift
from bootsrv.remote import Remote
from bootsrv.site import HouseSite
from pxe.http.ports import Denied, NodeRequest

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJZ"


@pytest.fixture
def verbs(config: Config, registry: Registry) -> Appliance:
    made = Appliance(config, registry)
    for number in (1, 2):
        publish(made.images.store(), "debian", {"etc/x": noise(200_000, number), "etc/same": b"same"})
    return made


def running(verbs: Appliance, name: str = "n1", address: str = "10.77.0.11") -> Node:
    node = verbs.nodes.add(NodeWanted(name=name, image="debian", address=address), arm=False)
    node = replace(node, state=NodeState.RUNNING, running="debian@1")
    verbs.registry.upkeep.set_host_keys(node.id, [KEY])
    return verbs.registry.nodes.save(node)


def test_the_plan_says_what_moves(verbs: Appliance) -> None:
    node = running(verbs)
    [step] = verbs.pushes.plan([node], Wanted())
    assert (step.base.ref, step.version.ref) == ("debian@1", "debian@2") and not step.reboot
    assert 150_000 < step.bytes < 250_000
    [same] = verbs.pushes.plan([node], Wanted("debian@1"))
    assert same.report is None and same.version == same.base


def test_no_push_takes_the_kernel_away(verbs: Appliance) -> None:
    """As no imaging writes such an image. A misspelt name is enough, and the machine does not come back."""
    store = verbs.images.store()
    publish(store, "host", {"etc/x": b"1", "boot/vmlinuz-6.1.0-1": noise(9_000, 3)})
    publish(store, "host", {"etc/x": b"1", "boot/vmlinuz-6.1.0-2": noise(9_000, 4)})
    node = replace(running(verbs), running="host@1")
    assert verbs.pushes.plan([node], Wanted("host@2"))[0].report is not None
    with pytest.raises(Invalid, match="debian@2 has no kernel in /boot, so no disk can boot it"):
        verbs.pushes.plan([node], Wanted("debian"))


def test_only_running_nodes_with_known_keys(verbs: Appliance) -> None:
    node = running(verbs)
    for state, then in (
        (NodeState.ARMED, "once it has been imaged"),
        (NodeState.REGISTERED, "`bootsrv reimage n1 --image REF` puts"),
        (NodeState.FAILED, "`bootsrv reimage n1 --retry`"), (NodeState.IMAGING, "once it has called home"),
    ):  # fmt: skip
        with pytest.raises(Conflict, match=f"n1 is {state}: only running nodes can be.*; .*{then}"):
            verbs.pushes.plan([replace(node, state=state)], Wanted())
    with pytest.raises(Conflict, match="`bootsrv node adopt 52:54:00:00:00:01`"):
        seen = replace(node, name=None, macs=("52:54:00:00:00:01",), state=NodeState.DISCOVERED)
        verbs.pushes.plan([seen], Wanted())
    verbs.registry.upkeep.set_host_keys(node.id, [])
    [step] = verbs.pushes.plan([node], Wanted())
    with pytest.raises(Invalid, match="host key is not known"):
        verbs.pushes.push(step, Wanted(), lambda said: None)


def fake_ssh(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> Path:
    """An ssh that shows what it was given, and answers what the test wants."""
    program = folder / "bin" / "ssh"
    program.parent.mkdir()
    program.write_text(
        f'#!/bin/sh\necho "$@" >{folder}/words\ncat >{folder}/script\n'
        f'cp "$(echo "$@" | sed "s/.*UserKnownHostsFile=\\([^ ]*\\).*/\\1/")" {folder}/known\n{script}'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    return folder


def test_a_push_by_ssh(verbs: Appliance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    node = running(verbs)
    answer = '{"step": "done", "made": 1, "removed": 0, "drift": 2, "fetched": 9}'
    seen = fake_ssh(
        tmp_path, monkeypatch, f"echo Welcome; echo '{{\"step\": \"compared\"}}'; echo '{answer}'\n"
    )
    heard: list[Mapping[str, Any]] = []
    monkeypatch.setattr(Remote, "own_address", lambda self: "10.77.0.1")
    [step] = verbs.pushes.plan([node], Wanted())
    report = verbs.pushes.push(step, Wanted(), heard.append)
    assert report["made"] == 1 and [said["step"] for said in heard] == ["compared"]
    words = (seen / "words").read_text()
    assert "StrictHostKeyChecking=yes" in words
    assert words.strip().endswith("10.77.0.11 python3 -I -S - update")
    assert (seen / "known").read_text() == f"10.77.0.11 {KEY}\n"
    token = verbs.registry.tokens
    assert b"BOOTSRV_TASK" in (seen / "script").read_bytes() and "token" not in words and token is not None
    assert verbs.registry.nodes.get(node.id).running == "debian@2"
    assert verbs.registry.upkeep.drift(node.id).count == 2
    kinds = [event.kind for event in verbs.watch.latest(node=node)]
    assert kinds[-2:] == ["push.started", "push.done"]


def test_a_failure_on_the_node_is_told_in_its_words(
    verbs: Appliance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = running(verbs)
    fake_ssh(tmp_path, monkeypatch, 'echo \'{"step": "failed", "error": "disk full"}\'; exit 1\n')
    monkeypatch.setattr(Remote, "own_address", lambda self: "10.77.0.1")
    [step] = verbs.pushes.plan([node], Wanted())
    with pytest.raises(BootsrvError, match="n1: disk full"):
        verbs.pushes.push(step, Wanted(), lambda said: None)
    assert verbs.registry.nodes.get(node.id).running == "debian@1"
    assert verbs.watch.latest(node=node)[-1].kind == "push.failed"
    (tmp_path / "bin/ssh").write_text("#!/bin/sh\ncat >/dev/null\necho '{\"step\": \"fetch\"}'\nexit 255\n")
    with pytest.raises(BootsrvError, match="n1: it broke off without a word: killed there"):
        verbs.pushes.push(step, Wanted(), lambda said: None)


def test_only_the_machines_own_word_confirms(
    verbs: Appliance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A report of its boot is not yet a promise to stay; one as the old version is the end of it."""
    node = running(verbs)
    fake_ssh(tmp_path, monkeypatch, 'echo \'{"step": "done", "made": 1}\'\n')
    monkeypatch.setattr(Remote, "own_address", lambda self: "10.77.0.1")
    [step] = verbs.pushes.plan([node], Wanted())
    said: list[dict[str, Any]] = []
    monkeypatch.setattr("bootsrv.appliance.push.POLL_SECONDS", 0.01)

    def home(*data: dict[str, Any]) -> None:
        for each in data:
            verbs.registry.events.add(1.0, "home", "", None, node.id, each)

    real = verbs.pushes._agent

    def then(data: list[dict[str, Any]]) -> None:
        said[:] = data
        monkeypatch.setattr(verbs.pushes, "_agent", agent)

    def agent(*arguments: Any) -> Mapping[str, Any]:
        report = real(*arguments)
        timer = threading.Timer(0.1, home, said)
        timer.start()
        return report

    new, old = {"image": "debian@2"}, {"image": "debian@1"}
    then([new, {**new, "confirmed": True}])
    verbs.pushes.push(step, Wanted(confirm=1), lambda said: None)
    then([new, old])
    with pytest.raises(BootsrvError, match="n1: returned to debian@1"):
        verbs.pushes.push(step, Wanted(confirm=1), lambda said: None)
    then([new])
    verbs.pushes.push(step, Wanted(reboot=True), lambda said: None)


def test_a_push_token_opens_only_what_is_pushed(config: Config, verbs: Appliance) -> None:
    site = HouseSite(config, verbs.registry, verbs.images, catalogue(config), Peers(verbs.registry))
    one, two = (verbs.images.resolve(f"debian@{n}") for n in (1, 2))
    data = {"version": two.id, "base": one.id, "patches": "p" * 40}
    token = verbs.registry.tokens.issue(pushstore.PURPOSE, "1", 0.0, 10**12, data)
    assert isinstance(site.store("manifests", one.id, token), Path)
    assert isinstance(site.store("locators", two.id, token), Path)
    assert isinstance(site.store("locators", one.id, token), Denied)
    assert site.store("patches", "p" * 40, token) is None, "there is no such set"
    assert isinstance(site.store("patches", "q" * 40, token), Denied)
    assert isinstance(site.store("packs", "0" * 64, token), Denied)


def test_imaging_reports_host_keys(config: Config, registry: Registry, verbs: Appliance) -> None:
    node = verbs.nodes.add(NodeWanted(name="n1", macs=["52:54:00:00:00:01"]))
    api = NodeApi(config, registry, verbs.images)
    token = registry.tokens.issue("boot", "52:54:00:00:00:01", 0.0, 10**12, {})
    body = (
        b'{"kind":"deploy.done","text":"","data":{"ssh_host_keys":{"ed25519":"%s","x":"no\\nkey"}}}'
        % KEY.encode()
    )
    request = NodeRequest("POST", "events", {}, {}, body, "10.77.0.11", token)
    assert api.handle(request).status == 200
    assert registry.upkeep.host_keys(node.id) == (KEY,)
    registry.upkeep.set_drift(node.id, Drift("debian@1", 3, 5.0))
    assert registry.upkeep.drift(node.id).count == 3
    api.handle(request)
    assert registry.upkeep.drift(node.id) is None, "a new imaging is a new system"


def test_the_servers_key_is_its_own(config: Config) -> None:
    sshkey.prepare(config)
    private, line = sshkey.private_file(config), sshkey.public_line(config)
    assert (
        stat.S_IMODE(private.stat().st_mode) == 0o600 and line is not None and line.startswith("ssh-ed25519 ")
    )
    sshkey.prepare(config)
    assert sshkey.public_line(config) == line


def test_canaries_first_and_stop_at_too_many_failures() -> None:
    order: list[int] = []
    lock = threading.Lock()

    def act(item: int) -> None:
        with lock:
            order.append(item)
        if item in (3, 4):
            raise BootsrvError(f"{item} failed")

    outcome = waves.run(range(8), act, jobs=1, canary=2, max_fail=1)
    assert order == [0, 1, 2, 3, 4] and outcome.done == [0, 1, 2]
    assert [item for item, _ in outcome.failed] == [3, 4] and outcome.left == [5, 6, 7]
    assert waves.run([3, 1, 2], act, canary=1, max_fail=5).left == [1, 2], "a canary that fails ends it"
    assert len(waves.run([0, 3, 4, 5], act, jobs=4, max_fail=2).done) == 2


def test_what_nobody_foresaw_costs_no_other_node_its_result(caplog: pytest.LogCaptureFixture) -> None:
    def act(item: int) -> None:
        if item == 1:
            raise KeyError("a fault of ours")

    outcome = waves.run(range(4), act, jobs=1, max_fail=1)
    assert outcome.done == [0, 2, 3] and [item for item, _ in outcome.failed] == [1]
    assert "a fault of ours" in caplog.text, "its traceback is in the log"


def on_the_command_line(monkeypatch: pytest.MonkeyPatch, verbs: Appliance, *words: str) -> Result:
    monkeypatch.setattr(Context, "appliance", verbs)
    return CliRunner().invoke(cli, list(words))


def test_drift_of_many_is_shown_although_one_is_away(
    verbs: Appliance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also of those that come after it."""
    for number in (1, 2, 3):
        running(verbs, f"n{number}", f"10.77.0.{10 + number}")

    def asked(node: Node, checksum: bool) -> Mapping[str, Any]:
        if node.name == "n2":
            raise BootsrvError("n2: no route to host")
        return {"drift": 1, "files": [["/etc/motd", "content"]]}

    monkeypatch.setattr(verbs.pushes, "drift", asked)
    done = on_the_command_line(monkeypatch, verbs, "node", "drift", "n[1-3]")
    shown = [line.split() for line in done.stdout.splitlines()]
    assert shown[1:] == [["n1", "content", "/etc/motd"], ["n3", "content", "/etc/motd"]]
    assert str(done.exception) == "1 of 3 could not be asked: n2: no route to host"
    done = on_the_command_line(monkeypatch, verbs, "node", "drift", "n[1-3]", "--json")
    assert json.loads(done.stdout)["n2"] == {"error": "n2: no route to host"} and done.exit_code


def test_each_failure_of_a_push_is_said_when_it_happens(
    verbs: Appliance, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"n{number}" for number in range(1, 9)]
    for number, name in enumerate(names, 11):
        running(verbs, name, f"10.77.0.{number}")

    def pushed(step: Step, wanted: Wanted, hear: object) -> Mapping[str, Any]:
        raise BootsrvError(f"{step.node.name}: disk full")

    monkeypatch.setattr(verbs.pushes, "push", pushed)
    done = on_the_command_line(monkeypatch, verbs, "push", "n[1-8]", "--jobs", "1", "--max-fail", "8")
    assert done.stdout.splitlines() == [f"{name}: failed: disk full" for name in names]
    assert str(done.exception).startswith("8 of 8 failed: n1: disk full;")
    assert str(done.exception).endswith("n5: disk full; and 3 more, above and in `bootsrv events`")


def test_an_interrupted_push_says_what_happens_now(verbs: Appliance, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"n{number}" for number in range(1, 9)]
    for number, name in enumerate(names, 11):
        running(verbs, name, f"10.77.0.{number}")
    begun: list[str | None] = []

    def pushed(step: Step, wanted: Wanted, hear: object) -> Mapping[str, Any]:
        begun.append(step.node.name)
        if len(begun) == 1:
            time.sleep(0.1)  # all are submitted by now
            os.kill(os.getpid(), signal.SIGINT)  # the main thread hears of it
        time.sleep(0.3)
        return {}

    monkeypatch.setattr(verbs.pushes, "push", pushed)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        done = on_the_command_line(monkeypatch, verbs, "push", "n[1-8]", "--jobs", "1")
    finally:
        signal.signal(signal.SIGINT, before)
    assert str(done.exception).startswith("interrupted: no further node was started; a node that broke off")
    assert getattr(done.exception, "exit_code", 0) == 130 and len(begun) < 3


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")
def test_a_key_that_may_not_be_read_is_not_told_as_the_nodes_refusal(tmp_path: Path) -> None:
    key = tmp_path / "ssh_ed25519"
    key.touch(mode=0o600)
    remote = Remote("n1", "127.0.0.1", [KEY], key)
    os.seteuid(65534)
    try:
        with pytest.raises(BootsrvError, match=f"^{key}: Permission denied; run it as root"):
            remote.command(["true"])
    finally:
        os.seteuid(0)


def test_lines_of_push_lists_that_match_nothing_are_told_once(
    verbs: Appliance, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in (1, 2, 3):
        running(verbs, f"n{number}", f"10.77.0.{number + 10}")

    def pushed(step: Step, wanted: Wanted, hear: Any) -> Mapping[str, Any]:
        return {"made": 1, "idle": ["/opt/sit"] if step.node.name != "n3" else []}

    monkeypatch.setattr(verbs.pushes, "push", pushed)
    done = on_the_command_line(monkeypatch, verbs, "push", "n[1-3]")
    assert done.exit_code == 0, done.output
    warnings = [line for line in done.output.splitlines() if "warning" in line]
    assert warnings == ["warning: no name matches '/opt/sit' of the push lists of n1, n2"]


HANGS = """
import sys
from pathlib import Path
from bootsrv.remote import Remote
Remote("n1", "127.0.0.1", ["ssh-ed25519 AAAA"], Path("/nonexistent")).command(["hang"])
"""


def test_what_a_killed_push_left_goes_with_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ssh, temp = tmp_path / "bin/ssh", tmp_path / "tmp"
    ssh.parent.mkdir()
    temp.mkdir()
    ssh.write_text('#!/bin/sh\nfor word; do :; done\ntest "$word" != hang || { echo up; exec sleep 60; }\n')
    ssh.chmod(0o755)
    environment = {**os.environ, "PATH": f"{ssh.parent}:{os.environ['PATH']}", "TMPDIR": str(temp)}
    words = [sys.executable, "-c", HANGS]
    for number in (signal.SIGKILL, signal.SIGTERM):  # of the latter, without a command line, there is no end
        with subprocess.Popen(words, env=environment, start_new_session=True) as hanging:
            while not list(temp.glob("bootsrv-ssh-*/known_hosts")):
                assert hanging.poll() is None
                time.sleep(0.02)
            os.killpg(hanging.pid, number)
    assert len(list(temp.iterdir())) == 1, "the second swept what the first left"
    monkeypatch.setenv("PATH", environment["PATH"])
    monkeypatch.setattr(tempfile, "tempdir", str(temp))
    Remote("n1", "127.0.0.1", [KEY], tmp_path / "none").command(["true"])
    assert not list(temp.iterdir())
