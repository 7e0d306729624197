"""`reimage --wait`: follows to the end, says each step, fails when a node fails."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest
from msgspec import structs

from bootsrv import lifecycle
from bootsrv.appliance.appliance import Appliance
from bootsrv.appliance.nodes import Wanted
from bootsrv.cli import following
from bootsrv.cli.following import follow
from bootsrv.errors import BootsrvError
from bootsrv.registry.registry import Registry

STEPS: list[tuple[str, dict[str, object]]] = [
    ("imager.up", {}),
    ("deploy.started", {}),
    ("deploy.progress", {"done": 5 * 2**20, "total": 10 * 2**20, "rate": 2.0**20}),
    ("deploy.done", {}),
    ("home", {"image": "debian@2"}),
]


def play(house: Appliance, steps: list[tuple[str, dict[str, object]]]) -> threading.Thread:
    """What the machine reports, from another thread with its own connection, as another process would."""

    def report() -> None:
        registry = Registry.open(house.config.registry_file)
        for kind, data in steps:
            with registry.transaction():
                node = registry.nodes.by_name("n1")
                assert node is not None
                registry.nodes.save(lifecycle.reported(node, kind, data))
                registry.events.add(1.0, kind, kind, "52:54:00:00:00:01", node.id, data)
        registry.close()

    thread = threading.Thread(target=report)
    thread.start()
    return thread


@pytest.mark.parametrize("bars", [False, True])
def test_to_its_own_disk(house: Appliance, capsys: pytest.CaptureFixture[str], bars: bool) -> None:
    node = house.nodes.add(Wanted(name="n1", image="debian"))
    since = house.watch.last_event()
    thread = play(house, STEPS)
    follow(house, [node], since, 30.0, bars)
    thread.join()
    if not bars:
        said = capsys.readouterr().out
        assert "n1: writing 50 % of 10 MiB, 1.0 MiB/s, 5 s left" in said
        assert said.rstrip().endswith("n1: runs from its own disk")


def test_a_node_that_is_switched_off_afterwards_is_done(
    house: Appliance, registry: Registry, capsys: pytest.CaptureFixture[str]
) -> None:
    off = structs.replace(house.config, imager=structs.replace(house.config.imager, finish="poweroff"))
    away = Appliance(off, registry)
    node = house.nodes.add(Wanted(name="n1", image="debian"))
    thread = play(house, STEPS[:-1])
    follow(away, [node], house.watch.last_event() - 1, 30.0, bars=False)
    thread.join()
    assert "imaged" in capsys.readouterr().out


def test_failure_is_the_end(house: Appliance) -> None:
    node = house.nodes.add(Wanted(name="n1", image="debian"))
    thread = play(house, [("deploy.started", {}), ("deploy.failed", {"step": "disk", "error": "too small"})])
    with pytest.raises(BootsrvError, match="n1: disk: too small"):
        follow(house, [node], house.watch.last_event() - 1, 30.0, bars=False)
    thread.join()


def test_an_arming_that_is_taken_back_is_no_success(house: Appliance) -> None:
    node = house.registry.nodes.save(replace(house.nodes.add(Wanted(name="n1")), running="debian@1"))
    since = house.watch.last_event()
    house.deploys.reimage([node], "debian@2")
    house.deploys.cancel([node])
    with pytest.raises(BootsrvError, match="n1: the arming was taken back"):
        follow(house, [node], since, 30.0, bars=False)


def test_gives_up(house: Appliance) -> None:
    node = house.nodes.add(Wanted(name="n1", image="debian"))
    with pytest.raises(BootsrvError, match="not done after 1 s: n1"):
        follow(house, [node], house.watch.last_event(), 1.0, bars=False)


def test_a_machines_words_are_no_markup(house: Appliance, capsys: pytest.CaptureFixture[str]) -> None:
    """A bar's text may have colours; what a machine says of its disks is no end of one."""
    node = house.nodes.add(Wanted(name="n1", image="debian"))
    since = house.watch.last_event()
    registry = house.registry
    registry.events.add(1.0, "install.step", "formats [/dev/sda1]", None, node.id, {})
    registry.events.add(2.0, "deploy.failed", "disk: [/dev/sda] \\[is] too small", None, node.id, {})
    failed = lifecycle.reported(
        lifecycle.arm(node, "debian@1", 1.0), "deploy.failed", {"error": "[/dev/sda] is\x1b[2J too small"}
    )
    registry.nodes.save(failed)
    with pytest.raises(BootsrvError, match=r"^n1: \[/dev/sda\] is\[2J too small$"):
        follow(house, [node], since, 30.0, bars=True)
    assert r"failed: disk: [/dev/sda] \[is]" in " ".join(capsys.readouterr().err.split())


def test_a_bar_of_a_diskless_boot_says_no_disk(house: Appliance, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    real = following.Progress.update

    def update(self: following.Progress, task: following.TaskID, **given: object) -> None:
        said.append(str(given["description"]))
        real(self, task, description=said[-1])

    monkeypatch.setattr(following.Progress, "update", update)
    node = house.nodes.add(Wanted(name="n1", image="debian", mode="diskless"))
    since = house.watch.last_event()
    thread = play(house, [("root.up", {}), ("root.failed", {"error": "no"}), ("home", {"image": "debian@2"})])
    follow(house, [node], since, 30.0, bars=True, booted=True)
    thread.join()
    assert said == ["mounting its root", "[red]failed: root.failed", "runs"]


def test_a_diskless_boot_ends_with_its_next_call(
    house: Appliance, capsys: pytest.CaptureFixture[str]
) -> None:
    """It runs already, with the version it had: that is not what is waited for."""
    node = house.nodes.add(Wanted(name="n1", image="debian", mode="diskless"))
    node = house.registry.nodes.save(lifecycle.reported(node, "home", {"image": "debian@1"}))
    since = house.watch.last_event()
    thread = play(house, [("root.up", {}), ("root.done", {}), ("home", {"image": "debian@2"})])
    follow(house, [node], since, 30.0, bars=False, booted=True)
    thread.join()
    said = capsys.readouterr().out.splitlines()
    told = [line.partition("n1: ")[2] for line in said]
    assert told == ["mounting its root", "its root is mounted", "runs"]
    with pytest.raises(BootsrvError, match="not done after"):
        follow(house, [node], house.watch.last_event(), 0.5, bars=False, booted=True)
