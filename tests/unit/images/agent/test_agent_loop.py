"""The loop around tasks: no error ends it, and each one is told to the server and to people."""

import types

import pytest

from images.agent import __main__ as agent_main
from images.agent import deploy as deploy_module
from images.agent.client import Refused
from images.agent.console import Console
from images.errors import BadInput


class FakeReporter:
    def __init__(self):
        self.events, self.refuse = [], None

    def event(self, kind, text, **data):
        self.events.append((kind, text, data))

    def log(self, line):
        pass

    def flush(self, timeout=None):
        if self.refuse:
            raise self.refuse


@pytest.fixture
def agent(monkeypatch, tmp_path):
    monkeypatch.setattr(agent_main, "AFTER_FAILURE", 0)
    monkeypatch.setattr(agent_main, "TOKEN_GONE", 0)
    made = object.__new__(agent_main.Agent)
    made.given, made.console = {}, Console(folder=tmp_path)
    made.reporter, made.client = FakeReporter(), types.SimpleNamespace()
    return made


def test_parameters_of_the_command_line():
    line = "quiet bootsrv.url=http://10.0.0.1:8080 bootsrv.mac=52:54 x=bootsrv.y=1 bootsrv.shell\n"
    assert agent_main.parameters(line) == {"url": "http://10.0.0.1:8080", "mac": "52:54", "shell": ""}


class BrokenDeploy:
    error: Exception = BadInput("the disk is too small")

    def __init__(self, task, *others):
        self.step, self.id, self.cleaned = "disk", task["id"], False

    def run(self):
        raise self.error

    def clean_up(self):
        raise OSError("still busy")


@pytest.mark.parametrize(
    "error", [BadInput("no disk"), OSError(28, "No space left"), ZeroDivisionError("a bug")]
)
def test_a_broken_deploy_is_reported_and_survived(agent, monkeypatch, error):
    monkeypatch.setattr(deploy_module, "Deploy", BrokenDeploy)
    monkeypatch.setattr(BrokenDeploy, "error", error)
    agent.reporter.refuse = Refused(409, "POST /node/v1/events")
    agent._do({"kind": "deploy", "id": "7"})
    kind, text, data = agent.reporter.events[-1]
    assert kind == "deploy.failed" and text == f"disk: {error}"
    assert data["step"] == "disk" and data["id"] == "7" and data["error"] == str(error)
    assert ("Traceback" in data["detail"]) == isinstance(error, ZeroDivisionError)
    assert agent.console.screen.error == str(error)
    assert [s.state for s in agent.console.screen.steps] == ["failed"]


def test_hold_shows_the_error_and_wait_shows_the_text(agent):
    agent._do({"kind": "hold", "text": "disk: too small"})
    assert agent.console.screen.error == "disk: too small"
    agent._do({"kind": "wait", "text": "waiting for an image"})
    assert agent.console.screen.status == "waiting for an image" and agent.console.screen.error == ""


def test_reboot_is_reported_first(agent, monkeypatch):
    monkeypatch.setattr(agent_main.finish, "restart", lambda: agent.reporter.events.append("restarted"))
    agent._do({"kind": "reboot"})
    assert agent.reporter.events[0][0] == "imager.reboot" and agent.reporter.events[1] == "restarted"


def test_a_dead_token_boots_again_and_other_refusals_do_not(agent, monkeypatch):
    restarts = []
    monkeypatch.setattr(agent_main.finish, "restart", lambda: restarts.append(1))
    agent._refused(Refused(404, "GET /node/v1/task"))
    assert restarts == []
    agent._refused(Refused(401, "GET /node/v1/task"))
    assert restarts == [1]
