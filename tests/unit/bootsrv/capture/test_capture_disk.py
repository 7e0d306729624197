"""A disk captured over HTTP is the version that an import of it makes; the second time, changes are sent."""

from __future__ import annotations

import random
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from capturehouse import Running

from bootsrv import tasks
from bootsrv.appliance.appliance import Appliance
from bootsrv.appliance.nodes import Wanted
from bootsrv.bootplan import Action, Purpose, decide
from bootsrv.config import Config
from bootsrv.errors import Conflict, Invalid
from bootsrv.model import NodeState
from bootsrv.registry.registry import Registry
from images.agent.capture import cli, offline, telling
from images.agent.capture.disk import at_most
from images.agent.capture.options import parse
from images.agent.capture.telling import Teller
from images.blocks import regions
from images.blocks.survey import Area
from images.importing.from_disk import import_disk

MIB = 1 << 20


@pytest.fixture
def running(config: Config, registry: Registry) -> Iterator[Running]:
    made = Running(Appliance(config, registry))
    yield made
    made.close()


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    """A GPT with an ext4 that holds a file, and noise in a partition of no known kind."""
    path, tree = tmp_path / "disk.raw", tmp_path / "tree"
    tree.mkdir()
    (tree / "file").write_bytes(random.Random(1).randbytes(5 * MIB))
    with path.open("wb") as file:
        file.truncate(64 * MIB)
    table = "label: gpt\nstart=1MiB, size=40MiB, type=linux\nstart=48MiB, size=8MiB, type=linux\n"
    subprocess.run(["sfdisk", "--quiet", path], input=table, text=True, check=True)
    words = ["mke2fs", "-q", "-t", "ext4", "-d", tree, "-E", "offset=1048576", path, "40M"]
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
    with path.open("r+b") as file:
        file.seek(50 * MIB)
        file.write(random.Random(2).randbytes(MIB))
    return path


def capture(running: Running, disk: Path, teller: Teller | None = None) -> str:
    token = running.house.captures.token("whole", kind="disk").text
    options = parse([f"--token={token}"], running.url)
    return cli.attempts(options, teller or Teller(), lambda *given: offline.capture_disk(disk, *given))


def test_a_disk(running: Running, disk: Path) -> None:
    assert capture(running, disk) == "whole@1"
    store = running.house.images.store()
    import_disk(store, "imported", disk)
    for what in ("whole", "imported"):
        assert store.resolve(what).kind == "disk"
    one, other = store.manifest("whole"), store.manifest("imported")
    assert one.header.meta["disk"] == other.header.meta["disk"]
    assert [e._replace(chunks=()) for e in one.entries()] == [e._replace(chunks=()) for e in other.entries()]
    assert bytes_of(store, "whole") == bytes_of(store, "imported")
    with disk.open("r+b") as file:
        file.seek(50 * MIB + 77)
        file.write(b"changed")
    assert capture(running, disk) == "whole@2"
    assert 0 < running.house.watch.events(0, 500)[-1].data["added"] < MIB


def bytes_of(store: Any, ref: str) -> bytes:
    return b"".join(store.source(ref).stream(chunk.id for chunk in store.manifest(ref).chunks()))


def test_how_much_it_may_come_to() -> None:
    gib = 1 << 30
    areas = [
        Area(0, MIB, None), Area(MIB, 2 * gib, [(MIB, 4096), (gib - 8192, 16384)]),
        Area(2 * gib, 3 * gib, None),
    ]  # fmt: skip
    assert at_most(areas, 3 * gib) == [MIB + 4096 + 8192, 8192, gib]


def test_a_capture_tells_how_far_it_is(running: Running, disk: Path) -> None:
    teller, seen = Teller(), list[int]()
    teller.expect = seen.append  # type: ignore[method-assign]
    capture(running, disk, teller)
    assert seen == [64 * MIB, running.house.images.resolve("whole").bytes]


def test_what_is_only_looked_at_is_told_too(
    running: Running, disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before there is anything to send, and where nothing has to be kept."""
    monkeypatch.setattr(regions, "REGION", 4 * MIB)
    monkeypatch.setattr(telling, "REPORT", 0.0)
    real, disk_size = telling.Teller.step, 64
    teller, steps = Teller(), list[tuple[int, int, int]]()

    def step(done: int, files: int, path: str) -> None:
        steps.append((done, files, len(running.calls)))
        real(teller, done, files, path)

    teller.step = step  # type: ignore[method-assign]
    capture(running, disk, teller)
    idle = [place for done, place, _ in steps if done == 0]
    assert steps[0][:2] == (0, 0) and len(idle) > 3, "the maps of its file systems are looked for"
    assert {place for _, place, _ in steps} >= set(range(4, disk_size + 1, 4)), "regions without anything"
    texts = [event.text for event in running.house.watch.events(0, 500) if event.kind == "capture.progress"]
    assert texts and all("MiB of the disk" in text for text in texts)


def test_a_tree_is_no_disk(running: Running, tmp_path: Path) -> None:
    (tmp_path / "m/etc").mkdir(parents=True)
    (tmp_path / "m/etc/x").touch()
    running.capture(tmp_path / "m", running.house.captures.token("golden").text)
    with pytest.raises(Conflict, match="image golden is a tree, not a disk: choose another name"):
        running.house.captures.token("golden", kind="disk")


def test_an_armed_node_is_captured_once(running: Running) -> None:
    verbs = running.house
    node = verbs.nodes.add(Wanted(name="n1", macs=["52:54:00:00:00:01"]))
    (armed,) = verbs.captures.offline([node], "golden", "tree", "before the upgrade")
    assert (armed.state, decide(armed).purpose) == (NodeState.ARMED, Purpose.CAPTURE)
    assert verbs.nodes.show("n1").armed == armed.armed
    (free,) = verbs.deploys.cancel([armed])
    assert decide(free).action is Action.LOCAL
    (again,) = verbs.captures.offline([free], "golden", "disk")
    assert again.armed and again.armed.capture and again.armed.capture.kind == "disk"


def test_its_options_reach_the_imager(running: Running) -> None:
    verbs, words = running.house, ("--exclude=/srv/*", "--exclude-update=/etc/motd", "--with=/home")
    node = verbs.nodes.add(Wanted(name="n1", macs=["52:54:00:00:00:01"]))
    verbs.captures.offline([node], "golden", "tree", "", words)
    task = tasks.capture(verbs.nodes.show("n1"), "TOKEN")
    assert task["words"] == list(words)
    options = parse(["--token=T", *task["words"]], running.url)
    assert (options.exclude, options.exclude_update, options.wanted) == (["/srv/*"], ["/etc/motd"], ["/home"])
    with pytest.raises(Invalid, match="whole disk"):
        verbs.captures.offline([node], "whole", "disk", "", words)


def test_what_is_asked_of_a_node_while_it_is_captured_stays_asked(running: Running, tmp_path: Path) -> None:
    """Only its own arming ends with a capture by the imager."""
    verbs = running.house
    node = verbs.nodes.add(Wanted(name="n1", macs=["52:54:00:00:00:01"]))
    (tmp_path / "m/etc").mkdir(parents=True)
    for replaced in (True, False):
        (armed,) = verbs.captures.offline([node], "golden")
        token = verbs.captures.token("golden", node=armed, arming=tasks.deploy_id(armed))
        if replaced:
            time.sleep(0.01)  # an arming is named by its time
            verbs.captures.offline([node], "other")
        assert running.capture(tmp_path / "m", token.text) == 0
        assert (verbs.nodes.show("n1").armed is not None) == replaced
